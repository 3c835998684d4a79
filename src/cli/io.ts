import type { ReadStream, WriteStream } from 'node:tty'
import { MAX_TIMER_MS } from '../core/backoff.ts'
import { noop } from '../core/noop.ts'
import { ProgressReporter } from './terminal/progress.ts'

/** Output stream of a command: data (stdout) or diagnostics (stderr). */
export class Output {
  readonly #stream: NodeJS.WriteStream
  #closed = false

  /** @param onClosed called once when nothing more can be written, with the error, or null if nobody reads any more */
  constructor(stream: NodeJS.WriteStream, onClosed: (error: Error | null) => void) {
    this.#stream = stream
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#closed) return
      this.#closed = true
      // EPIPE is expected with `| head`, and EIO on a terminal that is gone; a disk reports EIO too.
      onClosed(error.code === 'EPIPE' || (error.code === 'EIO' && this.isTerminal) ? null : error)
    })
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true
  }

  /** Columns of the terminal; Infinity if the output is not a terminal. */
  get columns(): number {
    return this.isTerminal ? ((this.#stream as WriteStream).columns ?? 80) || 80 : Number.POSITIVE_INFINITY
  }

  /** True on a terminal with 256 colours, unless NO_COLOR is set. */
  get colours(): boolean {
    return this.isTerminal && (this.#stream as WriteStream).hasColors(256)
  }

  /** Resolves when the stream accepts more data (back-pressure). */
  async write(data: string | Uint8Array): Promise<void> {
    if (this.#closed || this.#stream.write(data)) return
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#stream.off('drain', done)
        this.#stream.off('close', done)
        resolve()
      }
      this.#stream.on('drain', done)
      this.#stream.on('close', done)
    })
  }

  /** Resolves when all data has been written, so that the process can exit. */
  async flush(): Promise<void> {
    if (this.#closed) return
    // Sockets are written asynchronously; a closed pipe ends the wait too.
    await new Promise<void>((resolve) => {
      this.#stream.once('close', resolve)
      this.#stream.write('', () => resolve())
    })
  }

  /** Writes without back-pressure, for a few lines. */
  print(text: string): void {
    if (!this.#closed) this.#stream.write(text)
  }
}

/** Streams, progress and abort signal of a command. */
export interface CommandIo {
  readonly version: string
  /** Data. */
  readonly out: Output
  /** Diagnostics. */
  readonly err: Output
  readonly in: ReadStream
  /** Progress bar on the terminal. */
  readonly progress: ProgressReporter
  /** Aborted by SIGINT, by SIGTERM, when stdout has been closed by its consumer, or with an Error if it cannot be written. */
  readonly signal: AbortSignal
  /** Writes a line to stderr, above the progress bar. */
  note(text: string): void
}

/** Abort reason of `signal` if stdout has been closed by its consumer. */
export const PIPE_CLOSED = 'pipe closed'

const toOutputError = (cause: NodeJS.ErrnoException): Error =>
  Object.assign(new Error(`The output cannot be written: ${cause.message}`, { cause }), {
    code: cause.code,
    hint: 'What was written is incomplete. Check free disk space and the disk itself, then run the command again.',
  })

/** The streams that a command reads and writes. */
export type StandardStreams = Pick<NodeJS.Process, 'stdin' | 'stdout' | 'stderr'>

/** Creates the I/O of a command from its streams. @param needsReader stop the command when nobody reads its output any more */
export const createIo = (
  version: string,
  stopping: AbortController,
  streams: StandardStreams,
  needsReader: boolean,
): CommandIo => {
  const out = new Output(streams.stdout, (error) => {
    if (error !== null) stopping.abort(toOutputError(error))
    else if (needsReader) stopping.abort(PIPE_CLOSED)
  })
  const err = new Output(streams.stderr, noop)
  const progress = new ProgressReporter(err)
  return {
    version,
    out,
    err,
    // A getter, so that stdin is opened only by commands that read it.
    get in() {
      return streams.stdin
    },
    progress,
    signal: stopping.signal,
    note: (text) => {
      // Print nothing after EPIPE, as other command-line programs do.
      if (stopping.signal.reason === PIPE_CLOSED) return
      progress.clear()
      err.print(`${text}\n`)
    },
  }
}

/** Resolves after `ms`, or earlier if the signal aborts. */
export const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, Math.min(ms, MAX_TIMER_MS))
    signal.addEventListener('abort', done)
  })
