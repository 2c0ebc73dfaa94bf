// SPDX-License-Identifier: GPL-3.0-or-later
//
// Flamenco job type: the people of a Likeness manifest, some in each task (docs/farm.md).
// Put this file into the folder "scripts" beside the flamenco-manager executable.

const JOB_TYPE = {
    label: "Likeness Heads",
    settings: [
        { key: "manifest", type: "string", subtype: "file_path", required: true,
          description: "The .csv or .jsonl file of people, on storage that all workers share" },
        { key: "out", type: "string", subtype: "dir_path", required: true,
          description: "Folder for the heads, on storage that all workers share" },
        { key: "people", type: "string", required: true,
          description: "Numbers of people in the manifest, from 1. Examples: '1-200', '3, 5-10'" },
        { key: "chunk_size", type: "int32", default: 20, propargs: { min: 1, max: 1000 },
          description: "People per task; models are loaded once a task" },
        { key: "options", type: "string", default: "", required: false,
          description: "More arguments of 'batch', such as --quality best" },
        { key: "python", type: "string", default: "{likeness_python}", required: true, visible: "submission",
          description: "Python of Likeness' environment; by default the manager's variable likeness_python" },
    ]
};

function compileJob(job) {
    const settings = job.settings;
    for (const key of ["manifest", "out", "people", "python"]) {
        if (!settings[key]) throw `The setting ${key} is empty.`;
    }
    const made = [];
    for (const chunk of frameChunker(settings.people, settings.chunk_size)) {
        made.push(batchTask(settings, `heads-${chunk}`, ["--people", chunk]));
    }
    // All are done by then, so this only looks and writes batch.json and batch.html.
    const table = batchTask(settings, "table", ["--workers", "1"]);
    for (const task of made) {
        job.addTask(task);
        table.addDependency(task);
    }
    job.addTask(table);
}

function batchTask(settings, name, which) {
    // A person without a usable photo fails again on every worker: the table says so, and the job goes on.
    const args = ["-m", "backend", "batch", settings.manifest, "--out", settings.out, "--exit-zero"];
    const task = author.Task(name, "misc");
    task.addCommand(author.Command("exec", {
        exe: settings.python,
        args: args.concat(shellSplit(settings.options || ""), which),
    }));
    return task;
}
