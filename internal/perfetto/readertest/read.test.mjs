// What internal/perfetto writes, read by a program that nobody here wrote: the
// model that TracerBench makes of Chrome's trace events. It knows every phase,
// names processes and threads by their metadata, and finds out from times alone
// which slice lies in which, as Chrome and Perfetto do.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import model from "@tracerbench/trace-model";

const testdata = new URL("../testdata/", import.meta.url);
const phases = new Set(["M", "X", "i", "C"]);

for (const name of readdirSync(testdata)) {
  test(name, () => {
    const trace = JSON.parse(readFileSync(new URL(name, testdata), "utf8"));
    const read = model.buildModel(trace);
    assert.equal(read.events.length, trace.traceEvents.length);
    for (const event of read.events) {
      assert.ok(phases.has(event.ph), `phase ${event.ph}`);
      assert.ok(event.duration >= 0, `${event.name} lasts ${event.duration} µs`);
    }
    for (const process of read.processes) {
      assert.notEqual(process.name, "", `process ${process.id} has no name`);
      for (const thread of process.threads) slices(thread);
    }
    assert.equal(read.toJSON().traceEvents.length, trace.traceEvents.length);
  });
}

// Each state is drawn in its connection, and connections of one track do not
// overlap.
function slices(thread) {
  let last;
  for (const slice of thread.events.filter((event) => event.isComplete())) {
    if (slice.hasCategory("connection")) {
      assert.equal(slice.parent, undefined, `${slice.name} lies in ${slice.parent?.name}`);
      assert.ok(!last || last.end <= slice.start, `${slice.name} overlaps ${last?.name}`);
      last = slice;
      continue;
    }
    assert.ok(slice.hasCategory("state"));
    assert.ok(slice.parent?.hasCategory("connection"), `${slice.name} lies in no connection`);
    assert.ok(slice.start >= slice.parent.start && slice.end <= slice.parent.end);
  }
  if (last) assert.notEqual(thread.name, "", "a track of connections has no name");
}
