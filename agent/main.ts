/** The agent's process: `shim <directory>` holds one game, `configure` changes one server's files, anything else is the agent itself. */
if (process.argv[2] === 'shim') {
  // Loaded alone: there is one such process for each running server, and it has to stay small.
  const { runShim } = await import('./runtime/shim.js');
  await runShim(process.argv[3] ?? '.');
} else if (process.argv[2] === 'configure') {
  const { runConfigure } = await import('./config-files/configure.js');
  await runConfigure();
} else {
  const { runAgent } = await import('./run-agent.js');
  await runAgent();
}

export {};
