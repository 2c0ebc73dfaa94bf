// node run_flamenco_script.js SCRIPT SETTINGS: what Flamenco's manager would make of a job, as JSON.
//
// A stand-in for the part of the manager's interface that job type scripts use: author, path, print, alert,
// frameChunker and shellSplit, and the method names that Go's AddTask, AddCommand and AddDependency get there.
"use strict";
const fs = require("fs");
const vm = require("vm");

class Task {
  constructor(name, type) {
    if (!name.trim() || !type.trim()) throw new Error("a task has a name and a type");
    Object.assign(this, { name: name.trim(), type: type.trim(), commands: [], dependencies: [] });
  }
  addCommand(command) { this.commands.push(command); }
  addDependency(task) { this.dependencies.push(task.name); }
}

function frameChunker(range, size) {
  if (!range.trim()) throw new Error("empty range");
  if (size < 1) throw new Error("invalid chunk size");
  const frames = new Set();
  for (const part of range.replaceAll("..", "-").split(",")) {
    const [first, last] = part.split("-").map((text) => {
      if (!/^\s*\d+\s*$/.test(text)) throw new Error(`invalid range ${part}`);
      return parseInt(text, 10);
    });
    for (let frame = first; frame <= (last ?? first); frame++) frames.add(frame);
  }
  const sorted = [...frames].sort((a, b) => a - b);
  const chunks = [];
  for (let at = 0; at < sorted.length; at += size) chunks.push(merged(sorted.slice(at, at + size)));
  return chunks;
}

function merged(frames) {
  const runs = [];
  for (const frame of frames) {
    const run = runs[runs.length - 1];
    if (run && frame === run[run.length - 1] + 1) run.push(frame);
    else runs.push([frame]);
  }
  return runs.map((run) => (run.length > 2 ? `${run[0]}-${run[run.length - 1]}` : run.join(","))).join(",");
}

function shellSplit(text) {
  return [...text.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3]);
}

const [script, settings] = process.argv.slice(2);
const tasks = [];
const job = {
  name: "heads", type: "likeness-heads", priority: 50, created: new Date(0), metadata: {},
  settings: JSON.parse(settings), addTask(task) { tasks.push(task); },
};
const globals = {
  author: { Task: (name, type) => new Task(name, type), Command: (name, parameters) => ({ name, parameters }) },
  path: require("path").posix, print() {}, alert() {}, frameChunker, shellSplit,
};
const context = vm.createContext(globals);
vm.runInContext(fs.readFileSync(script, "utf8") + "\nglobalThis.JOB_TYPE = JOB_TYPE;", context, { filename: script });
context.compileJob(job);
process.stdout.write(JSON.stringify({ type: context.JOB_TYPE, tasks }));
