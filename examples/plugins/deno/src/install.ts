// Installs what the lock names into the folder that is given.
const [env] = Deno.args;
for (const name of ["deno.json", "deno.lock"]) Deno.copyFileSync(name, `${env}/${name}`);
const install = new Deno.Command(Deno.execPath(), { args: ["install", "--frozen"], cwd: env });
Deno.exit((await install.spawn().status).code);
