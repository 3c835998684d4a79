/**
 * `npm run dev [-- FLAGS]`: serves from the sources, with the flags of `serve`. A change below src/web bundles the page
 * again, for its next reload; a change of any other source restarts the server.
 */
import { spawn } from 'node:child_process'
import { utimesSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { watchWeb } from './web.ts'

const ROOT = dirname(import.meta.dirname)
const CLI = join(ROOT, 'src/cli.ts')

let isBroken = false
await watchWeb((isGood) => {
  // A server that started while the page could not be bundled has ended, and Node waits for a change of its own files.
  if (isGood && isBroken) utimesSync(CLI, new Date(), new Date())
  isBroken = !isGood
})

// In a process group of its own, so that Ctrl+C reaches the server once, through this process.
const server = spawn(process.execPath, ['--watch', '--watch-preserve-output', CLI, 'serve', ...process.argv.slice(2)], {
  stdio: 'inherit',
  detached: true,
})
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => server.kill(signal))
server.once('exit', (code) => {
  try {
    // Node can leave a server behind that it was just restarting.
    process.kill(-server.pid!, 'SIGTERM')
  } catch {
    // The group is empty.
  }
  process.exit(code ?? 1)
})
