// Runs a command and keeps what it writes: FILE COMMAND ARGUMENT...
const { spawn } = require("node:child_process");
const { createWriteStream } = require("node:fs");

const [file, command, ...args] = process.argv.slice(2);
const kept = createWriteStream(file);
const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
process.stdin.pipe(child.stdin);
child.stdout.on("data", (chunk) => {
  kept.write(chunk);
  process.stdout.write(chunk);
});
child.on("close", (code) => kept.end(() => process.exit(code ?? 1)));
