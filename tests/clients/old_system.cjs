// The older system as far as its file goes: the whole of it is read, changed in memory and written over, without a lock.
//
//   node old_system.cjs FILE save ID NAME CODE
//   node old_system.cjs FILE delete ID
//   node old_system.cjs FILE rewrite
const { existsSync, readFileSync, writeFileSync } = require("node:fs");

const [file, action, serverId, name, code] = process.argv.slice(2);
const servers = new Map(existsSync(file) ? Object.entries(JSON.parse(readFileSync(file, "utf8"))) : []);
if (action === "save") {
  servers.set(serverId, { name, code, language: "python", savedAt: new Date().toISOString(), serverId });
} else if (action === "delete") {
  servers.delete(serverId);
}
writeFileSync(file, JSON.stringify(Object.fromEntries(servers), null, 2));
