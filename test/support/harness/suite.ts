import { inspect } from 'node:util'
import { suite as uvuSuite } from 'uvu'
import type { Json } from './wait.ts'

export type Context = Record<string, Json>
export type Body = (context: Context) => unknown
export type TestOptions = { timeoutMs?: number }

/** A suite of uvu's whose tests have a time limit and whose hooks can fail. */
export type Suite = {
  (name: string, body: Body, options?: TestOptions): void
  /** Runs this test and the other `only` ones; the rest of the suite counts as skipped. */
  only(name: string, body: Body, options?: TestOptions): void
  /** Counts a test as skipped and prints why. */
  skip(name: string, reason: string): void
  before: Hook
  after: Hook
  run(): void
}

export type Hook = {
  (body: Body): void
  each(body: Body): void
}

const asError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(`thrown, though no Error: ${inspect(thrown)}`)

const limited = async (what: string, body: Body, context: Context, timeoutMs: number): Promise<void> => {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: still running after ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    await Promise.race([(async () => body(context))(), limit])
  } catch (thrown) {
    throw asError(thrown)
  } finally {
    clearTimeout(timer)
  }
}

const failProcess = (message: string): void => {
  process.stdout.write(`\n  FAIL  ${message}\n`)
  // uvu sets the exit code when it is done, so the failure is said again after that.
  process.once('exit', () => {
    process.exitCode = 1
  })
}

/**
 * uvu's `suite`, except that a test or hook ends after `timeoutMs` (60 s if not said), that anything thrown is a
 * failure, and that so is every failing hook: `before` fails all tests, `before.each` and `after.each` theirs,
 * `after` the process.
 */
export const suite = (name: string, { timeoutMs = 60_000 }: TestOptions = {}): Suite => {
  const inner = uvuSuite<Context>(name)
  const before: Body[] = []
  const after: Body[] = []
  const beforeEach: Body[] = []
  const afterEach: Body[] = []
  let registered = 0
  let ran = false
  let broken: Error | undefined

  const guarded =
    (body: Body, limitMs: number): Body =>
    async (context) => {
      if (broken) throw broken
      let failure: unknown
      try {
        for (const hook of beforeEach) await limited('before.each', hook, context, timeoutMs)
        await limited('the test', body, context, limitMs)
      } catch (error) {
        failure = error
      }
      for (const hook of afterEach) {
        try {
          await limited('after.each', hook, context, timeoutMs)
        } catch (error) {
          failure ??= error
        }
      }
      if (failure) throw failure
    }

  const register =
    (into: (name: string, body: (context: Json) => Promise<void>) => void) =>
    (testName: string, body: Body, options: TestOptions = {}): void => {
      registered += 1
      into(testName, guarded(body, options.timeoutMs ?? timeoutMs) as (context: Context) => Promise<void>)
    }

  const skip = (testName: string, reason: string): void => {
    registered += 1
    process.stdout.write(`SKIP ${name}: ${testName} (${reason})\n`)
    inner.skip()
  }

  const run = (): void => {
    ran = true
    inner.run()
  }

  inner.before(async (context) => {
    try {
      for (const hook of before) await limited('before', hook, context, timeoutMs)
    } catch (error) {
      broken = error as Error
      process.stdout.write(`\n  FAIL  ${name}: before: ${broken.stack ?? broken.message}\n`)
    }
  })
  inner.after(async (context) => {
    for (const hook of after) {
      try {
        await limited('after', hook, context, timeoutMs)
      } catch (error) {
        failProcess(`${name}: after: ${(error as Error).stack}`)
      }
    }
  })
  process.once('exit', () => {
    if (registered === 0 || ran) return
    process.stdout.write(`\n  FAIL  ${name}: its .run() is missing\n`)
    process.exitCode = 1
  })

  const hook = (once: Body[], each: Body[]): Hook =>
    Object.assign((body: Body) => void once.push(body), { each: (body: Body) => void each.push(body) })

  return Object.assign(register(inner), {
    only: register(inner.only),
    skip,
    before: hook(before, beforeEach),
    after: hook(after, afterEach),
    run,
  })
}
