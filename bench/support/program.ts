import { type ChildProcess, spawn } from 'node:child_process'
import { killAtExit, killNow } from '../../test/support/harness/cleanup.ts'
import { until } from '../../test/support/harness/wait.ts'

export interface ProgramOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Resolves to true once the program serves. */
  readonly ready: () => boolean | Promise<boolean>
}

/** A program that the bench has started, with whatever children it makes. */
export class Program {
  readonly #child: ChildProcess
  readonly #spare: () => void
  #text = ''

  private constructor({ command, args, env }: ProgramOptions) {
    // A group of its own, so that its workers end with it.
    this.#child = spawn(command, args, { detached: true, env: { ...process.env, ...env }, stdio: 'pipe' })
    this.#spare = this.#child.pid === undefined ? () => undefined : killAtExit(-this.#child.pid)
    const keep = (chunk: Buffer): void => {
      this.#text = (this.#text + chunk.toString()).slice(-100_000)
    }
    this.#child.stdout?.on('data', keep)
    this.#child.stderr?.on('data', keep)
    this.#child.on('error', (error) => {
      this.#text += String(error)
    })
  }

  /** @throws Error with the program's output when it ends, or is not ready within 20 s */
  static async start(options: ProgramOptions): Promise<Program> {
    const program = new Program(options)
    try {
      await until(async () => program.ended || (await options.ready()), { timeoutMs: 20_000, what: options.command })
      if (program.ended) throw new Error(`${options.command} ended`)
    } catch (error) {
      await program.stop()
      throw new Error(`${(error as Error).message}\n${program.output}`)
    }
    return program
  }

  get pid(): number {
    return this.#child.pid as number
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined
  }

  /** The end of stdout and stderr. */
  get output(): string {
    return this.#text
  }

  /** The JSON line on stdout that holds a key, once it is there. */
  async report<Value>(key: string, timeoutMs: number): Promise<Value> {
    const found = () => this.#text.split('\n').find((line) => line.startsWith('{') && line.includes(`"${key}"`))
    const line = await until(() => found() ?? (this.ended ? Promise.reject(new Error(this.#text)) : undefined), {
      timeoutMs,
      what: `"${key}"`,
      everyMs: 10,
    })
    return JSON.parse(line) as Value
  }

  /** Kills the program and its children, and waits until it is gone. */
  async stop(): Promise<void> {
    if (this.#child.pid === undefined) return
    const gone = this.ended ? null : new Promise((resolve) => this.#child.once('exit', resolve))
    killNow(-this.#child.pid)
    await gone
    this.#spare()
  }
}
