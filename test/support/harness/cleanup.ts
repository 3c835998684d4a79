import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'

const pids = new Set<number>()
const dirs = new Set<string>()
let watchdog: ChildProcess | undefined

// Reads what must be ended from stdin, which is closed when the test process exits, even by kill -9.
const SCRIPT = `
trap '' HUP INT TERM
pids=' '
dirs=''
while read -r verb arg; do
  case $verb in
    kill) pids="$pids$arg " ;;
    spare) case $pids in *" $arg "*) pids="\${pids%% $arg *} \${pids#* $arg }" ;; esac ;;
    remove) dirs="$dirs$arg
" ;;
  esac
done
for pid in $pids; do kill -s KILL -- "$pid" 2>/dev/null; done
for try in 1 2 3; do
  printf %s "$dirs" | while read -r dir; do rm -rf -- "$dir" 2>/dev/null; done
  sleep 0.3
done
`

const start = (): ChildProcess => {
  const child = spawn('/bin/sh', ['-c', SCRIPT], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  child.unref()
  child.stdin?.on('error', () => {})
  const pipe = child.stdin as unknown as { unref(): void }
  pipe.unref()
  process.once('exit', cleanUp)
  return child
}

const tell = (verb: string, argument: string | number): void => {
  watchdog ??= start()
  watchdog.stdin?.write(`${verb} ${argument}\n`)
}

const cleanUp = (): void => {
  for (const pid of pids) killNow(pid)
  for (const dir of dirs) {
    try {
      rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
    } catch {
      // The watchdog retries once the processes that still write there are gone.
    }
  }
}

/** Sends SIGKILL to a process, or to a group if `pid` is negative. A process that has exited is not an error. */
export const killNow = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // ESRCH is the desired result.
  }
}

/**
 * Kills a process (or, if `pid` is negative, a process group) when this process exits for any reason.
 * @returns a function to call once it has exited by itself, so that a later process with the same id is not killed
 */
export const killAtExit = (pid: number): (() => void) => {
  pids.add(pid)
  tell('kill', pid)
  return () => {
    if (pids.delete(pid)) tell('spare', pid)
  }
}

/** Deletes a folder when this process exits for any reason. */
export const removeAtExit = (dir: string): void => {
  dirs.add(dir)
  tell('remove', dir)
}
