import { inspect } from 'node:util'
import { suite as uvuSuite } from 'uvu'
import { beginTest, printFailure } from './failure-report.ts'
import { TEST_MS, within } from './limits.ts'
import { FULL } from './tier.ts'
import type { Json } from './wait.ts'

export type Context = Record<string, Json>
export type Body = (context: Context) => unknown

/** A uvu suite whose tests have a time limit and whose hooks can fail. */
export type Suite = {
  (name: string, body: Body): void
  /** A test of the full tier: a variant, or a longer form, of what another test of the short tier shows. */
  full(name: string, body: Body): void
  /** Runs only this test and other `only` ones; the rest of the suite counts as skipped. */
  only(name: string, body: Body): void
  /** Counts a test as skipped and prints the reason. */
  skip(name: string, reason: string): void
  before: Hook
  after: Hook
  run(): void
}

export type Hook = {
  (body: Body): void
  each(body: Body): void
}

/** Runs a test or hook. @returns its error, undefined if it passes in time */
const runAndCatch = async (what: string, body: Body, context: Context): Promise<Error | undefined> => {
  try {
    await within((async () => body(context))(), what, TEST_MS)
    return undefined
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error(`thrown, though no Error: ${inspect(thrown)}`)
  }
}

const notRun = new Set<string>()

process.on('exit', () => {
  for (const name of notRun) process.stdout.write(`\n  FAIL  ${name}: its .run() is missing\n`)
  if (notRun.size > 0) process.exitCode = 1
})

/** uvu sets the exit code after its last suite, so the failure must be set after that. */
const failProcess = (): void => {
  process.once('exit', () => {
    process.exitCode = 1
  })
}

/**
 * uvu's `suite`, with a time limit for tests and hooks. Anything thrown is a failure, and so is every failing hook:
 * `before` fails all tests, `before.each` and `after.each` their own, `after` the process. A failure is printed with
 * the logs of the gateways that the test used.
 */
export const suite = (name: string): Suite => {
  const inner = uvuSuite<Context>(name)
  const before: Body[] = []
  const after: Body[] = []
  const beforeEach: Body[] = []
  const afterEach: Body[] = []
  let broken: Error | undefined

  const guarded =
    (testName: string, body: Body) =>
    async (context: Context): Promise<void> => {
      if (broken) throw broken
      beginTest()
      let failure: Error | undefined
      for (const hook of beforeEach) failure ??= await runAndCatch('before.each', hook, context)
      failure ??= await runAndCatch('the test', body, context)
      if (failure) printFailure(`${name}: ${testName}`, failure)
      for (const hook of afterEach) {
        const error = await runAndCatch('after.each', hook, context)
        if (error && !failure) printFailure(`${name}: ${testName}: after.each`, error)
        failure ??= error
      }
      if (failure) throw failure
    }

  const register =
    (into: (name: string, body: (context: Json) => Promise<void>) => void) =>
    (testName: string, body: Body): void => {
      notRun.add(name)
      into(testName, guarded(testName, body))
    }

  inner.before(async (context) => {
    beginTest()
    for (const hook of before) broken ??= await runAndCatch('before', hook, context)
    if (broken) printFailure(`${name}: before`, broken)
  })
  inner.after(async (context) => {
    for (const hook of after) {
      const error = await runAndCatch('after', hook, context)
      if (!error) continue
      printFailure(`${name}: after`, error)
      failProcess()
    }
  })

  const hook = (once: Body[], each: Body[]): Hook =>
    Object.assign((body: Body) => void once.push(body), { each: (body: Body) => void each.push(body) })

  const add = register(inner)

  return Object.assign(add, {
    full: FULL ? add : () => {},
    only: register(inner.only),
    skip: (testName: string, reason: string): void => {
      notRun.add(name)
      process.stdout.write(`SKIP ${name}: ${testName} (${reason})\n`)
      inner.skip()
    },
    before: hook(before, beforeEach),
    after: hook(after, afterEach),
    run: (): void => {
      notRun.delete(name)
      inner.run()
    },
  })
}
