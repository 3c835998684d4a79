import type { ReadStream, WriteStream } from 'node:tty'
import { noop } from '../core/noop.ts'
import { ProgressReporter } from './progress.ts'

/** Where a command writes: its data, or what it has to say about them. */
export class Output {
  readonly #stream: NodeJS.WriteStream
  #gone = false

  /** @param onGone called once when the reader has hung up */
  constructor(stream: NodeJS.WriteStream, onGone: () => void) {
    this.#stream = stream
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // `| head` has what it wanted; any other fault would otherwise go unseen.
      if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
      if (this.#gone) return
      this.#gone = true
      onGone()
    })
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true
  }

  /** Columns of the terminal, Infinity where it is none. */
  get columns(): number {
    return this.isTerminal ? ((this.#stream as WriteStream).columns ?? 80) || 80 : Number.POSITIVE_INFINITY
  }

  /** True on a terminal that shows colours and whose user has not set NO_COLOR. */
  get colours(): boolean {
    return this.isTerminal && (this.#stream as WriteStream).hasColors(256)
  }

  /** Resolves when more may be written: at the reader's pace. */
  async write(data: string | Uint8Array): Promise<void> {
    if (this.#gone || this.#stream.write(data)) return
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

  /** Resolves when everything has been taken, so that the process may end. */
  async flush(): Promise<void> {
    if (this.#gone) return
    // A socket is written to in the background; a reader that hangs up ends the wait too.
    await new Promise<void>((resolve) => {
      this.#stream.once('close', resolve)
      this.#stream.write('', () => resolve())
    })
  }

  /** Writes without waiting, for a few lines. */
  print(text: string): void {
    if (!this.#gone) this.#stream.write(text)
  }
}

/** What a command has to do with the world. */
export interface CommandIo {
  readonly version: string
  /** Data. */
  readonly out: Output
  /** Diagnostics. */
  readonly err: Output
  readonly in: ReadStream
  /** The work that is shown on a terminal while it goes on. */
  readonly progress: ProgressReporter
  /** Aborted by SIGINT, SIGTERM, or when nobody reads the data any more. */
  readonly signal: AbortSignal
  /** Writes a line of diagnostics past the progress bar. */
  note(text: string): void
}

/** Why `signal` was aborted when the reader of the data has gone. */
export const PIPE_CLOSED = 'nobody reads'

/** Where a command reads and writes. */
export type StandardStreams = Pick<NodeJS.Process, 'stdin' | 'stdout' | 'stderr'>

/** Ties a command to its streams. */
export const makeIo = (version: string, stopping: AbortController, streams: StandardStreams): CommandIo => {
  const out = new Output(streams.stdout, () => stopping.abort(PIPE_CLOSED))
  const err = new Output(streams.stderr, noop)
  const progress = new ProgressReporter(err)
  return {
    version,
    out,
    err,
    // Opened only by those who read it.
    get in() {
      return streams.stdin
    },
    progress,
    signal: stopping.signal,
    note: (text) => {
      // Quiet, as other programs are that a pipe has ended.
      if (stopping.signal.reason === PIPE_CLOSED) return
      progress.clear()
      err.print(`${text}\n`)
    },
  }
}

/** Waits; a signal ends the wait early. */
export const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
