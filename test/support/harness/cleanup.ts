import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'

const pids = new Set<number>()
const dirs = new Set<string>()
let watchdog: ChildProcess | undefined

// Reads what is to be ended from its stdin; the end of that stdin is the end of the test process, kill -9 included.
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
      // The watchdog tries again once the processes that still write there are gone.
    }
  }
}

/** Sends SIGKILL to a process, or to a whole group if `pid` is negative; one that is gone already is no error. */
export const killNow = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // ESRCH is what the caller wants.
  }
}

/**
 * Has a process (or, with a negative `pid`, a process group) killed when this process ends in whatever way.
 * @returns a function to call once it has ended by itself, so that a later process of the same id is spared
 */
export const killAtExit = (pid: number): (() => void) => {
  pids.add(pid)
  tell('kill', pid)
  return () => {
    if (pids.delete(pid)) tell('spare', pid)
  }
}

/** Has a folder deleted when this process ends in whatever way. */
export const removeAtExit = (dir: string): void => {
  dirs.add(dir)
  tell('remove', dir)
}
