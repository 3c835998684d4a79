import { type ChildProcess, fork } from 'node:child_process'
import { killAtExit } from '../../test/support/harness/cleanup.ts'

interface Call {
  readonly id: number
  readonly method: string
  readonly argument: unknown
}

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

/** Functions that a helper process offers; each takes one argument that survives JSON. */
export type Methods = Record<string, (argument: never) => unknown>

/** In a helper process: answers the calls of the process that forked it, and ends with it. */
export const serveCalls = (methods: Methods): void => {
  process.on('message', async ({ id, method, argument }: Call) => {
    let answer: Answer
    try {
      answer = { id, result: await methods[method]!(argument as never) }
    } catch (error) {
      answer = { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
    }
    process.send?.(answer)
  })
  process.on('disconnect', () => process.exit(0))
}

/** A helper process: another file of the bench, called over IPC. */
export class Remote {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #calls = 0

  /** @param file URL of the script */
  constructor(file: URL) {
    this.#child = fork(file, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    if (this.#child.pid !== undefined) this.#child.once('exit', killAtExit(this.#child.pid))
    this.#child.on('message', ({ id, result, error }: Answer) => {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (error === undefined) waiting?.resolve(result)
      else waiting?.reject(new Error(error))
    })
    this.#child.once('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${file} ended with ${signal ?? code}`))
      this.#waiting.clear()
    })
  }

  get pid(): number {
    return this.#child.pid as number
  }

  /** Calls a function of the helper. @throws Error with the helper's stack */
  call<Result>(method: string, argument: unknown = null): Promise<Result> {
    return new Promise((resolve, reject) => {
      const id = ++this.#calls
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.#child.send({ id, method, argument } satisfies Call)
    })
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    await new Promise<void>((resolve) => {
      this.#child.once('exit', () => resolve())
      this.#child.kill('SIGKILL')
    })
  }
}
