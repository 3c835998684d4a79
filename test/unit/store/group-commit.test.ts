import * as assert from 'uvu/assert'
import { GroupCommit } from '../../../src/store/group-commit.ts'
import type { AppendEntry, AppendResult } from '../../../src/store/store.ts'
import { suite } from '../../support/harness/suite.ts'
import { newEntry } from '../../support/stages/entries.ts'

/** A store whose commits end when the test completes them. */
class Store {
  readonly commits: string[][] = []
  readonly #open: {
    entries: readonly AppendEntry[]
    resolve: (outcomes: AppendResult[]) => void
    reject: (error: Error) => void
  }[] = []
  readonly group = new GroupCommit(
    (entries) =>
      new Promise((resolve, reject) => {
        this.commits.push(entries.map(idOf))
        this.#open.push({ entries, resolve, reject })
      }),
  )

  get inFlight(): number {
    return this.#open.length
  }

  append(...ids: string[]): Promise<number[]> {
    const entries = ids.map((message_id) => newEntry({ message_id }))
    return this.group.append(entries).then((outcomes) => outcomes.map(({ db_id }) => db_id))
  }

  /** Completes the commit in progress; the db_id of each entry is the number in its id. */
  async end(failure?: Error): Promise<void> {
    const { entries, resolve, reject } = this.#open.shift()!
    if (failure !== undefined) reject(failure)
    else resolve(entries.map((entry) => ({ kind: 'stored', db_id: Number(idOf(entry)) })))
    await turn()
  }
}

const idOf = (entry: AppendEntry): string => (entry.kind === 'message' ? entry.message.message_id : '')

const turn = (): Promise<void> => new Promise(setImmediate)

const group = suite('group commit')

group('an idle store commits one entry at once', async () => {
  const store = new Store()
  const done = store.append('1')
  await turn()
  assert.equal(store.commits, [['1']])
  await store.end()
  assert.equal(await done, [1])
})

group('entries that arrive during a commit share the next one, in order, each with its own outcomes', async () => {
  const store = new Store()
  const first = store.append('1')
  await turn()
  const others = [store.append('2', '3'), store.append('4'), store.append('5', '6')]
  await turn()
  assert.equal([store.commits.length, store.inFlight], [1, 1], 'only one commit at a time')
  await store.end()
  assert.equal(store.commits, [['1'], ['2', '3', '4', '5', '6']])
  await store.end()
  assert.equal([await first, ...(await Promise.all(others))], [[1], [2, 3], [4], [5, 6]])
})

group('callers of one moment share the first commit', async () => {
  const store = new Store()
  void Promise.all([store.append('1'), store.append('2'), store.append('3')])
  await turn()
  assert.equal(store.commits, [['1', '2', '3']])
})

group('a failing commit rejects all its callers, and the next one proceeds', async () => {
  const store = new Store()
  const first = store.append('1')
  await turn()
  const failing = Promise.allSettled([store.append('2'), store.append('3')])
  await store.end()
  const after = store.append('4')
  const fault = new Error('disk full')
  await store.end(fault)
  assert.equal(
    (await failing).map((one) => one.status === 'rejected' && one.reason === fault),
    [true, true],
  )
  assert.equal(store.commits.at(-1), ['4'])
  await store.end()
  assert.equal([await first, await after], [[1], [4]])
})

group('a commit takes whole callers, and a bounded number of entries', async () => {
  const store = new Store()
  const first = store.append('0')
  await turn()
  const many = (count: number): Promise<number[]> => store.append(...Array.from({ length: count }, (_, n) => String(n)))
  const calls = [many(1_500), many(400), many(400), many(5_000), many(1)]
  for (let n = 0; n < 5; n++) await store.end()
  assert.equal(
    store.commits.map((ids) => ids.length),
    [1, 1_900, 400, 5_000, 1],
  )
  assert.is(store.inFlight, 0)
  assert.equal(
    (await Promise.all([first, ...calls])).map((ids) => ids.length),
    [1, 1_500, 400, 400, 5_000, 1],
  )
})

group('nothing to append is no commit', async () => {
  const store = new Store()
  assert.equal(await store.append(), [])
  await turn()
  assert.equal(store.commits, [])
})

group('idle resolves when everything is committed, including entries added meanwhile', async () => {
  const store = new Store()
  await store.group.drained()
  const appended = [store.append('1')]
  let idle = false
  const waiting = store.group.drained().then(() => {
    idle = true
  })
  await turn()
  appended.push(store.append('2'))
  await store.end()
  assert.is(idle, false)
  await store.end()
  await waiting
  assert.equal(await Promise.all(appended), [[1], [2]])
})

group.run()
