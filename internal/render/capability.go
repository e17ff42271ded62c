package render

// A Capability is one row of doctor's table: what tcptrace can tell, how well
// this host serves it ("exact", "bounded", "absent") and by which hook.
type Capability struct {
	Name, Grade, Hook string
	Lost, Why, Remedy string // "" where there is nothing to say
}

var gradeColors = map[string]string{"exact": "32", "bounded": "33", "absent": "31"}

// AppendCapabilities appends doctor's table: a line for each capability, and
// below it what is lost, why, and what to do.
func AppendCapabilities(b []byte, rows []Capability, color bool) []byte {
	l := line{b: b, color: color}
	l.cell()
	name, grade := len("CAPABILITY"), len("bounded")
	for _, r := range rows {
		name = max(name, len(r.Name))
	}
	l.text("CAPABILITY")
	l.pad(name + 1)
	l.text("GRADE")
	l.pad(grade + 1)
	l.text("HOOK\n")
	for _, r := range rows {
		l.cell()
		l.text(r.Name)
		l.pad(name + 1)
		l.paint(gradeColors[r.Grade], r.Grade)
		l.pad(grade + 1)
		l.text(orDash(r.Hook))
		l.text("\n")
		l.remark("lost", r.Lost)
		l.remark("why", r.Why)
		l.remark("remedy", r.Remedy)
	}
	return l.b
}

func (l *line) remark(label, text string) {
	if text == "" {
		return
	}
	l.text("    ")
	l.text(label)
	l.text(": ")
	l.text(text)
	l.text("\n")
}

// A Host is what tracing rests on: see doctor.
type Host struct {
	Kernel, BTF, Lockdown string // "" where not known
	Privileges            []Privilege
}

// A Privilege is a row of doctor's second table.
type Privilege struct {
	Name, For   string
	Had, Needed bool
}

// AppendHost appends the privileges, and a line on the kernel.
func AppendHost(b []byte, h *Host, color bool) []byte {
	l := line{b: b, color: color}
	name, had := len("CAP_SYS_RESOURCE"), len("needed")
	l.cell()
	l.text("PRIVILEGE")
	l.pad(name + 1)
	l.text("HAD")
	l.pad(had + 1)
	l.text("FOR\n")
	for _, p := range h.Privileges {
		l.cell()
		l.text(p.Name)
		l.pad(name + 1)
		switch {
		case p.Had:
			l.paint(gradeColors["exact"], "yes")
		case p.Needed:
			l.paint(gradeColors["absent"], "needed")
		default:
			l.paint(gradeColors["bounded"], "no")
		}
		l.pad(had + 1)
		l.text(p.For)
		l.text("\n")
	}
	l.remark("kernel", h.Kernel)
	l.remark("types", orElse(h.BTF, "none: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"))
	l.remark("lockdown", orElse(h.Lockdown, "not in this kernel, or not shown (securityfs)"))
	return l.b
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
