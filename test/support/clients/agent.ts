/**
 * An agent in its own process that sends numbered messages through an outbox until it is killed or the outbox is empty.
 * Arguments: URL, exchange, outbox, first number, number of messages, number of events.
 */
import { PublishError, Publisher } from '../../../src/publisher/index.ts'

const [url, exchange, outbox, from, count, events] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
]
const say = (told: object): void => void process.stdout.write(`${JSON.stringify(told)}\n`)

const IN_FLIGHT = 100

const main = async (): Promise<void> => {
  const publisher = new Publisher({ url, exchange, outbox })
  let accepted = 0
  const sendNext = async (n: number): Promise<void> => {
    const event = `e${n % Number(events)}`
    const number = Math.floor(n / Number(events))
    await publisher.send({
      event_id: event,
      message_id: `m${n}`,
      message_type: 'note',
      n: number,
      text: '内容'.repeat(20),
    })
    accepted++
    say({ accepted })
  }
  const open = new Set<Promise<void>>()
  for (let n = Number(from); n < Number(from) + Number(count); n++) {
    const sent = sendNext(n).finally(() => open.delete(sent))
    open.add(sent)
    if (open.size >= IN_FLIGHT) await Promise.race(open)
  }
  await Promise.all(open)
  while (!(await publisher.flush({ timeoutMs: 100 }))) say({ queued: publisher.queued })
  await publisher.close()
  say({ queued: 0 })
}

main().catch((error: unknown) => {
  say({ fault: error instanceof PublishError ? error.code : String(error) })
  process.exitCode = 1
})
