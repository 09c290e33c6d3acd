// The guide's workflow, for every JavaScript client: two sessions with a restart between them. `connect(command,
// arguments)` gives `names()`, `call(tool, arguments)` and `close()`. The report goes to stdout as JSON.
const { readFileSync } = require("node:fs");

exports.run = async (connect) => {
  const [codeFile, command, ...args] = process.argv.slice(2);
  const code = readFileSync(codeFile, "utf8");
  const report = {};

  let session = await connect(command, args);
  report.tools = await session.names();
  report.created = await session.call("create-server-from-template", { language: "python", code });
  report.server = JSON.parse(report.created.split("\n")[0]).serverId;
  report.running = await session.call("list-servers", {});
  const echo = (serverId, message) => session.call("execute-tool", { serverId, toolName: "echo", args: { message } });
  report.echoed = await echo(report.server, "Hello");
  report.saved = await session.call("save-server", { serverId: report.server, name: "Mon serveur de calcul v1.0" });
  await session.close();

  session = await connect(command, args);
  report.listed = await session.call("list-saved-servers", {});
  report.loaded = await session.call("load-saved-server", { savedServerId: report.server });
  report.loaded_server = /server-[0-9a-f]{12}/.exec(report.loaded.split("\n")[0])[0];
  report.echoed_again = await echo(report.loaded_server, "Hello again");
  report.deleted = await session.call("delete-saved-server", { savedServerId: report.server });
  report.emptied = await session.call("list-saved-servers", {});
  await session.close();

  process.stdout.write(JSON.stringify(report));
};

exports.text = (result) => {
  if (result.isError) throw new Error(JSON.stringify(result));
  return result.content.map((part) => part.text).join("\n");
};
