"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const all = (selector, within) => Array.from((within || document).querySelectorAll(selector));
  const make = (name, properties, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const svg = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    return element;
  };
  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

  // Times are milliseconds since the begin of the axes.
  const round = (x, digits) => String(Number(x.toFixed(digits)));
  const lasting = (ms) => {
    const s = ms / 1000;
    if (ms < 0) return "-" + lasting(-ms);
    if (ms < 1) return round(ms * 1000, ms < 0.01 ? 2 : 0) + "µs";
    if (s < 1) return round(ms, ms < 10 ? 2 : 1) + "ms";
    if (s < 120) return round(s, s < 10 ? 3 : 2) + "s";
    const unit = (major, name, minor, other) => Math.floor(s / major) + name + String(Math.floor((s % major) / minor)).padStart(2, "0") + other;
    if (s < 3600) return unit(60, "m", 1, "s");
    if (s < 86400) return unit(3600, "h", 60, "m");
    return unit(86400, "d", 3600, "h");
  };
  // Tables sort by a press on a heading: up, down, and as they were.
  const units = { ns: 1e-9, us: 1e-6, "µs": 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600, d: 86400, B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, PB: 1e15, EB: 1e18 };
  const collator = new Intl.Collator("en", { numeric: true });
  const amount = (text) => {
    const plain = text.replace(/^[≥≤]/, "").replace(/,/g, "");
    let sum = 0;
    let used = 0;
    for (const part of plain.matchAll(/([\d.]+)\s*([a-zµA-Z]*)/g)) {
      const unit = part[2] === "" ? 1 : units[part[2]];
      if (unit === undefined) return NaN;
      sum += Number(part[1]) * unit;
      used++;
    }
    return used ? sum : NaN;
  };
  const sortTable = (table, column, direction) => {
    const body = table.tBodies[0];
    table.original ||= Array.from(body.rows);
    const numeric = table.tHead.rows[0].cells[column].classList.contains("n");
    const keyed = table.original.map((row) => {
      const text = row.cells[column].textContent;
      return { row, text, key: numeric ? amount(text) : 0 };
    });
    if (direction) {
      keyed.sort((a, b) => {
        if (!a.text || !b.text) return !a.text - !b.text; // what is not known comes last
        if (!numeric) return direction * collator.compare(a.text, b.text);
        if (Number.isNaN(a.key) || Number.isNaN(b.key)) return Number.isNaN(a.key) - Number.isNaN(b.key);
        return direction * (a.key - b.key);
      });
    }
    body.append(...keyed.map((k) => k.row));
    for (const [i, th] of Array.from(table.tHead.rows[0].cells).entries()) {
      if (i === column && direction) th.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else th.removeAttribute("aria-sort");
    }
  };
  for (const table of all("table.grid")) {
    for (const [i, th] of Array.from(table.tHead.rows[0].cells).entries()) {
      const button = make("button", { type: "button", textContent: th.textContent });
      button.addEventListener("click", () => {
        const now = th.getAttribute("aria-sort");
        const first = th.classList.contains("n") ? -1 : 1; // of numbers the greatest come first
        const before = now === "ascending" ? 1 : now === "descending" ? -1 : 0;
        sortTable(table, i, before === 0 ? first : before === first ? -first : 0);
      });
      th.replaceChildren(button);
    }
  }

  // One filter for all tables and timelines: a row stays if it has every word.
  const statuses = new Map();
  for (const section of all("section.rows")) {
    if (!section.querySelector("table")) continue;
    const status = make("p", { className: "note status" });
    status.setAttribute("role", "status");
    section.querySelector(".scroll").before(status);
    statuses.set(section, status);
  }
  const textOf = (row) => (row.text ||= row.textContent.toLowerCase());
  const rowOf = (li) => document.getElementById(li.querySelector("a").hash.slice(1)); // in the table
  const barText = (li) => {
    if (!li.text) {
      const row = rowOf(li);
      const group = li.closest(".group");
      li.text = (li.textContent + " " + (row ? row.textContent : "") + " " + group.querySelector("h3").textContent).toLowerCase();
    }
    return li.text;
  };
  const filter = (query) => {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (text) => words.every((w) => text.includes(w));
    for (const [section, status] of statuses) {
      const rows = all("tbody tr", section);
      let shown = 0;
      for (const row of rows) {
        row.hidden = !fits(textOf(row));
        shown += !row.hidden;
      }
      status.textContent = words.length ? shown.toLocaleString("en") + " of " + rows.length.toLocaleString("en") + " rows have " + words.map((w) => "“" + w + "”").join(" and ") : "";
    }
    for (const group of all(".group")) {
      const bars = all(".bars li", group);
      for (const li of bars) li.hidden = !fits(barText(li));
      group.hidden = bars.every((li) => li.hidden);
    }
  };
  const search = make("input", { type: "search", placeholder: "Filter: nginx rto", title: "Press / to come here. A row stays if it has every word.", spellcheck: false, autocomplete: "off" });
  search.setAttribute("aria-label", "Filter tables and timelines");
  let pending = 0;
  search.addEventListener("input", () => {
    clearTimeout(pending);
    pending = setTimeout(() => filter(search.value), 120);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    search.value = "";
    filter("");
    search.blur();
  });
  document.querySelector("nav").append(make("div", { className: "search" }, search));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target === search) return;
    event.preventDefault();
    search.focus();
  });
  const reveal = () => { // a link to a row that the filter hides
    const row = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (row && row.hidden) {
      search.value = "";
      filter("");
      row.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", () => {
    for (const details of all("details")) details.open = true;
  });

  // What is under the pointer, or has the focus, is told here.
  const tip = make("div", { className: "tip", hidden: true });
  const cross = make("div", { className: "cross", hidden: true });
  document.body.append(tip, cross);

  // study brings one host's charts to life.
  const study = (host) => {
    const series = JSON.parse(host.querySelector(".series").textContent);
    const wall = (ms) => {
      const at = new Date(Date.parse(series.begin) + ms);
      return Number.isNaN(at.getTime()) ? "" : at.toISOString().slice(11, 23) + " UTC";
    };

    // The panels of the states share a moment.
    const left = 46;
    const right = 340;
    const panels = all(".panel", host).map((figure) => {
      const drawing = figure.querySelector("svg");
      const read = figure.querySelector(".read");
      const cut = svg("path", { class: "cut" });
      cut.setAttribute("visibility", "hidden");
      drawing.append(cut);
      drawing.setAttribute("tabindex", "0");
      return { figure, drawing, read, cut, usual: read.textContent, counts: series.counts[drawing.dataset.state] || [] };
    });
    let moment = -1;
    const showMoment = (index) => {
      moment = index;
      for (const p of panels) {
        if (index < 0) {
          p.read.textContent = p.usual;
          p.cut.setAttribute("visibility", "hidden");
          continue;
        }
        const at = Math.min((index + 1) * series.every, series.length);
        p.read.textContent = (p.counts[index] || 0).toLocaleString("en") + " at " + lasting(at) + ", " + wall(at);
        p.cut.setAttribute("d", "M" + (left + ((right - left) * at) / series.length).toFixed(1) + " 10V88");
        p.cut.setAttribute("visibility", "visible");
      }
    };
    for (const p of panels) {
      const last = p.counts.length - 1;
      p.drawing.addEventListener("pointermove", (event) => {
        const box = p.drawing.getBoundingClientRect();
        const x = ((event.clientX - box.left) / box.width) * 352;
        showMoment(clamp(Math.floor((((x - left) / (right - left)) * series.length) / series.every), 0, last));
      });
      p.drawing.addEventListener("pointerleave", () => showMoment(-1));
      p.drawing.addEventListener("blur", () => showMoment(-1));
      p.drawing.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity }[event.key];
        if (event.key === "Escape") showMoment(-1);
        if (step === undefined) return;
        event.preventDefault();
        showMoment(clamp((moment < 0 ? (step > 0 ? -1 : last + 1) : moment) + step, 0, last));
      });
    }

    // The timelines share a stretch of time, [from, to], which zooms and moves.
    const bars = host.querySelector(".lanes");
    if (!bars) return;
    const whole = Number(bars.dataset.length);
    const least = whole / 1e5; // beyond, the drawing's numbers are not exact enough
    const drawings = all(".b", bars);
    const axes = all(".axis", bars);
    let from = 0;
    let to = whole;
    const seconds = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
    const stepOf = (length, n) => { // as timeTicks of the Go code
      for (let unit = 1e-6; unit < 1000; unit *= 10) {
        for (const r of [1, 2, 5]) {
          if (unit * r <= 500 && length <= unit * r * n) return unit * r;
        }
      }
      for (const s of seconds) {
        if (length <= s * 1000 * n) return s * 1000;
      }
      let days = 2;
      while (length > days * 864e5 * n) days *= 2;
      return days * 864e5;
    };
    const tickLabel = (ms) => {
      const s = ms / 1000;
      const pair = (major, name, minor, other) => {
        const rest = Math.floor((s % major) / minor + 1e-9);
        return Math.floor(s / major + 1e-9) + name + (rest ? rest + other : "");
      };
      if (ms < 1e-7) return "0";
      if (to - from < 0.01 && s < 120) return round(ms, 6) + "ms"; // too fine for seconds
      if (ms < 1) return round(ms * 1000, 3) + "µs";
      if (s < 1) return round(ms, 6) + "ms";
      if (s < 120 || to - from < 60000) return s < 120 ? round(s, 9) + "s" : pair(60, "m", 1, "s") + (round(s % 1, 6) === "0" ? "" : round(s % 1, 6).slice(1) + "s");
      if (s < 3600) return pair(60, "m", 1, "s");
      if (s < 86400) return pair(3600, "h", 60, "m");
      return pair(86400, "d", 3600, "h");
    };
    const drawAxes = () => {
      const step = stepOf(to - from, 5);
      const ticks = [];
      for (let k = Math.ceil(from / step - 1e-9); k * step <= to + step * 1e-9; k++) ticks.push(k * step);
      for (const axis of axes) {
        axis.replaceChildren();
        for (const at of ticks) {
          const x = ((at - from) / (to - from)) * 100;
          const text = svg("text", { x: x + "%", y: 11, class: x > 94 ? "last" : x < 3 ? "first" : "" });
          text.textContent = tickLabel(at);
          axis.append(svg("line", { x1: x + "%", x2: x + "%", y1: 14, y2: 20 }), text);
        }
      }
    };
    let frame = 0;
    const draw = () => {
      frame = 0;
      const box = from + " 0 " + (to - from) + " 12";
      for (const drawing of drawings) drawing.setAttribute("viewBox", box);
      drawAxes();
      const zoomed = to - from < whole;
      buttons.all.disabled = buttons.out.disabled = !zoomed;
      buttons.left.disabled = from <= 0;
      buttons.right.disabled = to >= whole;
      where.textContent = zoomed ? lasting(from) + " to " + lasting(to) + " of " + lasting(whole) + ", from " + wall(from) : "all of " + lasting(whole);
    };
    const show = (a, b) => {
      const length = clamp(b - a, least, whole);
      from = clamp(a, 0, whole - length);
      to = from + length;
      frame ||= requestAnimationFrame(draw);
    };
    const zoom = (factor, around) => {
      const at = around === undefined ? (from + to) / 2 : around;
      const length = clamp((to - from) * factor, least, whole);
      const share = (at - from) / (to - from);
      show(at - length * share, at - length * share + length);
    };
    const pan = (share) => show(from + (to - from) * share, to + (to - from) * share);
    const button = (text, label, act) => {
      const b = make("button", { type: "button", textContent: text, title: label });
      b.setAttribute("aria-label", label);
      b.addEventListener("click", act);
      return b;
    };
    const buttons = {
      in: button("+", "Zoom in (+)", () => zoom(0.5)),
      out: button("−", "Zoom out (−)", () => zoom(2)),
      left: button("◀", "Earlier (←)", () => pan(-0.5)),
      right: button("▶", "Later (→)", () => pan(0.5)),
      all: button("All", "The whole trace (0)", () => show(0, whole)),
    };
    const where = make("output", {});
    bars.before(
      make("p", { className: "note", textContent: "Drag to move, Ctrl and the wheel or two fingers to zoom, double-click to look closer. With the keyboard: ↑ ↓ from connection to connection, ← → + − 0 for the time, Enter to its row in the table." }),
      make("div", { className: "zoom" }, ...Object.values(buttons), where),
    );

    const timeAt = (drawing, x) => {
      const box = drawing.getBoundingClientRect();
      return from + ((x - box.left) / box.width) * (to - from);
    };
    const names = Object.fromEntries(all(".legend li b", host).map((b) => [b.previousSibling.classList[1], b.textContent]));
    const tell = (li, at, x, y) => {
      const lines = [make("b", { textContent: li.querySelector("a").textContent })];
      const row = rowOf(li);
      const reach = ((to - from) / li.querySelector(".b").clientWidth) * 3;
      if (at !== undefined) {
        const under = all("rect", li).filter((r) => {
          const begin = Number(r.getAttribute("x"));
          return at >= begin - reach && at <= begin + Number(r.getAttribute("width")) + reach;
        }).sort((a, b) => a.getAttribute("width") - b.getAttribute("width"));
        const marks = all("path", li).filter((m) => Math.abs(Number(m.getAttribute("d").slice(1).split(" ")[0]) - at) <= reach);
        const what = under.slice(0, 1).map((r) => names[r.classList[0]] + " for " + lasting(Number(r.getAttribute("width"))));
        if (marks.some((m) => m.classList.contains("r"))) what.push("RST");
        if (marks.some((m) => m.classList.contains("t"))) what.push("sent again");
        lines.push(make("span", { textContent: "at " + lasting(at) + ", " + wall(at) + (what.length ? ": " + what.join(", ") : "") }));
      }
      if (row) {
        const [, who, role, , , life, end, states, again] = Array.from(row.cells, (c) => c.textContent);
        lines.push(make("span", { className: "soft", textContent: [who, role, "life " + life, end].filter(Boolean).join(", ") }));
        lines.push(make("span", { className: "soft", textContent: states }));
        if (again) lines.push(make("span", { className: "soft", textContent: "sent again: " + again }));
      }
      tip.replaceChildren(...lines);
      tip.hidden = false;
      const width = tip.offsetWidth;
      const height = tip.offsetHeight;
      tip.style.left = clamp(x + 14, 4, Math.max(4, innerWidth - width - 4)) + "px";
      tip.style.top = (y + 18 + height < innerHeight ? y + 18 : Math.max(4, y - height - 12)) + "px";
    };
    const hide = () => {
      tip.hidden = cross.hidden = true;
    };
    const rowAt = (event) => (event.target.closest ? event.target.closest(".bars li") : null);

    const fingers = new Map();
    let held = null; // where a drag began
    bars.addEventListener("pointermove", (event) => {
      if (fingers.has(event.pointerId)) {
        const others = Array.from(fingers).filter(([id]) => id !== event.pointerId);
        if (others.length && held) {
          const other = others[0][1];
          const before = Math.abs(fingers.get(event.pointerId) - other);
          const now = Math.abs(event.clientX - other);
          if (before > 8 && now > 8) zoom(before / now, timeAt(held.drawing, (event.clientX + other) / 2));
        } else if (held && Math.abs(event.clientX - held.x) > 3) {
          held.moved = true;
          const perPixel = (to - from) / held.drawing.clientWidth;
          show(from - (event.clientX - fingers.get(event.pointerId)) * perPixel, to - (event.clientX - fingers.get(event.pointerId)) * perPixel);
        }
        if (!held || held.moved || others.length) fingers.set(event.pointerId, event.clientX);
      }
      const li = rowAt(event);
      const drawing = event.target.closest && event.target.closest(".b");
      if (!li || !drawing) {
        hide();
        return;
      }
      tell(li, clamp(timeAt(drawing, event.clientX), 0, whole), event.clientX, event.clientY);
      const box = li.closest(".group").querySelector(".bars").getBoundingClientRect();
      cross.hidden = false;
      cross.style.left = event.clientX + "px";
      cross.style.top = Math.max(box.top, 0) + "px";
      cross.style.height = Math.max(Math.min(box.bottom, innerHeight) - Math.max(box.top, 0), 0) + "px";
    });
    bars.addEventListener("pointerleave", hide);
    bars.addEventListener("pointerdown", (event) => {
      const drawing = event.target.closest(".b");
      if (!drawing || event.button !== 0) return;
      fingers.set(event.pointerId, event.clientX);
      held ||= { x: event.clientX, drawing, moved: false };
    });
    for (const over of ["pointerup", "pointercancel"]) {
      addEventListener(over, (event) => {
        fingers.delete(event.pointerId);
        if (!fingers.size) held = null;
      });
    }
    bars.addEventListener("wheel", (event) => {
      const drawing = event.target.closest(".b, .axis");
      if (!drawing) return;
      if (event.ctrlKey || event.metaKey) zoom(Math.exp(clamp(event.deltaY, -60, 60) / 150), timeAt(drawing, event.clientX));
      else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX || event.deltaY) / 600);
      else return;
      event.preventDefault();
    }, { passive: false });
    bars.addEventListener("dblclick", (event) => {
      const drawing = event.target.closest(".b");
      if (drawing) zoom(0.25, timeAt(drawing, event.clientX));
    });

    // One stop of the Tab key for all connections; the arrows go on from there.
    const items = all(".bars li a", bars);
    for (const a of items) a.tabIndex = -1;
    if (items.length) items[0].tabIndex = 0;
    const focus = (a) => {
      for (const other of items) other.tabIndex = -1;
      a.tabIndex = 0;
      a.focus();
    };
    bars.addEventListener("focusin", (event) => {
      const li = rowAt(event);
      if (!li || !event.target.matches(":focus-visible")) return;
      const box = li.getBoundingClientRect();
      tell(li, undefined, box.left + 20, box.bottom - 14);
    });
    bars.addEventListener("focusout", hide);
    addEventListener("scroll", hide, { passive: true });
    bars.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !rowAt(event)) return;
      const shown = items.filter((a) => !a.closest("li").hidden && !a.closest(".group").hidden);
      const here = shown.indexOf(event.target);
      const act = {
        ArrowDown: () => here + 1 < shown.length && focus(shown[here + 1]),
        ArrowUp: () => here > 0 && focus(shown[here - 1]),
        ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2),
        "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => show(0, whole), Home: () => show(0, whole),
        Escape: hide,
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    draw();
  };
  for (const host of all(".host")) study(host);
})();
