// needs: strace
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { ensureDatabase, readSchema } from '../../src/store/sqlite/file.ts'
import { listChildren } from '../support/harness/processes.ts'
import { getCommandLine, isScript, PROGRAM } from '../support/harness/program.ts'
import { suite } from '../support/harness/suite.ts'
import { runs } from '../support/harness/tier.ts'
import { tempDir, until } from '../support/harness/wait.ts'
import { messageRows } from '../support/servers/database.ts'
import { fastDir } from '../support/servers/fast-dir.ts'
import { type Gateway, startGateway } from '../support/servers/gateway.ts'
import { chats, publish } from '../support/stages/rooms.ts'
import { DiskModel, TRACED_CALLS } from '../support/store/disk-model.ts'

const MESSAGES = runs(8, 100)
/** Power losses at each moment with a random part of what was not synced; one more leaves nothing of it. */
const VARIANTS = runs(1, 10)

const test = suite('a loss of power')

const stop = async (gateway: Gateway): Promise<void> => {
  // The signal goes to the gateway, not to strace.
  for (const pid of listChildren(gateway.pid)) process.kill(pid, 'SIGTERM')
  await until(() => !gateway.running, { what: 'the end of the gateway' })
}

type Recording = { readonly dataDir: string; readonly traces: readonly string[] }

/**
 * Publishes to a gateway under strace, 2 × `count` messages in each of its lives. The end of a life moves the WAL into the
 * database and removes it. @returns the folder of the database, and the trace of each life
 */
const record = async (program: readonly string[], lives: number, count: number): Promise<Recording> => {
  const trace = join(tempDir(), 'trace')
  const flags = ['-f', '--seccomp-bpf', '-qq', '-y', '-xx', '-s', '65536', '-e', `trace=${TRACED_CALLS}`, '-o', trace]
  const strace = spawnSync('which', ['strace'], { encoding: 'utf8' }).stdout.trim()
  const gateway = await startGateway({
    entry: strace,
    args: [...flags, ...program, 'serve'],
    env: { WORKERS: '1', SEARCH: 'off' },
  })
  const traces: string[] = []
  try {
    for (let life = 0; life < lives; life++) {
      if (life > 0) await gateway.restart()
      for (const message of chats(count)) await publish(gateway, 'room', message)
      await Promise.all(chats(count).map((message) => publish(gateway, 'other', message)))
      await stop(gateway)
      traces.push(readFileSync(trace, 'latin1'))
    }
    return { dataDir: gateway.dataDir, traces }
  } finally {
    await gateway.dispose()
  }
}

/** Returns random numbers below 1 that are the same in each run (mulberry32). */
const randomFrom = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

/** Cuts the power at each moment of the traces. @returns the number of moments, and what the database lacks at which */
const cutPower = ({ dataDir, traces }: Recording): { moments: number; acknowledged: number; lost: string[] } => {
  const disk = new DiskModel(dataDir)
  const acknowledged = new Set<number>()
  const lost: string[] = []
  const place = join(fastDir(), 'after')
  const file = join(place, 'gateway.db')
  const random = randomFrom(1)
  let moments = 0
  const cut = (): void => {
    moments += 1
    for (let variant = 0; variant <= VARIANTS; variant++) {
      disk.writeTo(place, () => variant > 0 && random() < 0.5)
      // As a gateway does at its start: it also recovers the file, or refuses it.
      ensureDatabase(file, { schema: readSchema(), logId: 'after', now: 1 })
      const ids = new Set(messageRows(file).map(({ db_id }) => db_id))
      const missing = [...acknowledged].filter((id) => !ids.has(id))
      if (missing.length > 0) lost.push(`moment ${moments}, variant ${variant}: ${missing.join()}`)
    }
  }
  const onSent = (bytes: Buffer): void => {
    const text = bytes.toString('latin1')
    if (!text.startsWith('HTTP/1.1 201')) return
    for (const [, id] of text.matchAll(/"db_id":(\d+)/g)) acknowledged.add(Number(id))
    cut()
  }
  for (const trace of traces) disk.replay(trace, { onSent, onChange: cut })
  return { moments, acknowledged: acknowledged.size, lost }
}

test('takes no message that was answered with 201, whatever part of the unsynced writes reaches the disk', async () => {
  const { moments, acknowledged, lost } = cutPower(await record(getCommandLine(PROGRAM), 2, MESSAGES))
  assert.is(acknowledged, 4 * MESSAGES, 'every answer was seen')
  assert.ok(moments > acknowledged, `${moments} moments`)
  assert.equal(lost, [])
})

test('takes answered messages if commits are not synced, so this test would see it', async () => {
  const preload = fileURLToPath(new URL('../support/store/normal-commits.ts', import.meta.url))
  const [node, ...script] = getCommandLine(isScript(PROGRAM) ? PROGRAM : 'src/cli.ts')
  const recording = await record([node!, '--import', preload, ...script], 1, 3)
  assert.is.not(cutPower(recording).lost.length, 0)
})

test.run()
