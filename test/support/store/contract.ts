import { suite } from '../harness/suite.ts'
import { checkAccess } from './contract-access.ts'
import { checkAppending } from './contract-append.ts'
import { checkModel } from './contract-model.ts'
import { checkReading } from './contract-read.ts'
import { checkRetention } from './contract-retention.ts'
import { checkSearch } from './contract-search.ts'
import { checkWriters } from './contract-writers.ts'
import type { LogKind, LogTest, Store } from './sqlite-store.ts'

type Part = (test: LogTest) => void

/** Data that crosses to the writer's thread: entries, outcomes and errors, with many writers and any operations. */
export const WRITING: readonly Part[] = [checkAppending, checkWriters, checkModel]

const ALL: readonly Part[] = [...WRITING, checkAccess, checkReading, checkRetention, checkSearch]

/**
 * The contract in src/store/store.ts, as tests. Every implementation of the store passes all of it, in the full tier.
 */
export const checkLog = (kind: LogKind, parts = ALL): void => {
  const contract = suite(`the log's contract: ${kind.name}`)

  contract.before.each(async (context) => {
    const store = await kind.makeStore()
    Object.assign(context, { store, log: await store.open() })
  })
  contract.after.each((context) => (context.store as Store).dispose())

  const test: LogTest = (name, body) => contract(name, ({ log, store }) => body(log, store))
  for (const part of parts) part(test)

  contract.run()
}
