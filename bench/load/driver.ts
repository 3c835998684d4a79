/**
 * The readers: thousands of bare sockets that count messages by a marker byte and parse nothing, except for the
 * time of publishing on a few sampled ones. Runs in a process of its own (support/helpers.ts).
 */
import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { serveCalls } from '../support/remote.ts'
import { nowMicros } from '../support/stats.ts'
import type { ConnectOptions, LatencyReport, OpenReport, Snapshot, Waited } from './driver-calls.ts'
import { MARKER, TIME_KEY } from './message.ts'

interface Reader {
  readonly socket: net.Socket
  /** 0: waits for the head; 1: Socket.IO waits for its room; 2: open; 3: closed. */
  state: number
  messages: number
  goalAt: number
  readonly sampled: boolean
  /** The end of the last chunk of a sampled or not yet open reader. */
  rest: string
  text: string[] | null
}

/** Readers that have no answer by then count as not open. */
const OPEN_LIMIT_MS = 60_000

const READ_BYTES = 64 * 1024
// One buffer for all sockets: a chunk is done with before the next is read. The byte behind it ends every scan.
const shared = Buffer.alloc(READ_BYTES + 1)
const readInto = shared.subarray(0, READ_BYTES)

let readers: Reader[] = []
let messages = 0
let bytes = 0
let reads = 0
let lastAt = 0
let goal = Number.POSITIVE_INFINITY
let opened = 0
let failed = 0
let closed = 0
let onSettled: () => void = () => undefined
let latencies: number[] = []
let closing = false

/** A masked websocket text frame, as a client must send it. */
const textFrame = (text: string): Buffer => {
  const mask = randomBytes(4)
  const payload = Buffer.from(text)
  for (const [index, byte] of payload.entries()) payload[index] = byte ^ mask[index % 4]!
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, payload])
}

const count = (length: number): number => {
  shared[length] = MARKER
  let found = 0
  for (let at = shared.indexOf(MARKER); at < length; at = shared.indexOf(MARKER, at + 1)) found++
  return found
}

const TIME = new RegExp(`${TIME_KEY}(\\d{6,17}),`, 'g')

const sampleTimes = (reader: Reader, length: number): void => {
  const now = nowMicros()
  const text = reader.rest + shared.toString('latin1', 0, length)
  let end = 0
  for (const match of text.matchAll(TIME)) {
    latencies.push((now - Number(match[1])) / 1000)
    end = match.index + match[0].length
  }
  reader.rest = text.slice(Math.max(end, text.length - 32))
}

const markOpen = (reader: Reader): void => {
  reader.state = 2
  opened++
  onSettled()
}

const greet = (reader: Reader, protocol: ConnectOptions['protocol'], length: number): void => {
  if (protocol === 'raw') {
    markOpen(reader)
    return
  }
  reader.rest += shared.toString('latin1', 0, length)
  if (protocol === 'sse') {
    const end = reader.rest.indexOf('\r\n\r\n')
    if (end < 0) return
    if (!reader.rest.startsWith('HTTP/1.1 200')) {
      failed++
      reader.state = 3
      reader.socket.destroy()
      process.stderr.write(`a reader was refused: ${reader.rest.slice(0, 60)}\n`)
      onSettled()
      return
    }
    reader.rest = ''
    markOpen(reader)
    return
  }
  if (reader.state === 0 && reader.rest.includes('0{"sid"')) {
    reader.state = 1
    reader.socket.write(textFrame('40'))
  }
  if (reader.state === 1 && reader.rest.includes('40{"sid"')) {
    reader.rest = ''
    markOpen(reader)
  }
}

const formatRequest = (options: ConnectOptions, index: number): string => {
  const path = options.paths[index % options.paths.length]
  const cursor = options.cursors?.[index % options.cursors.length]
  const head = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n`
  if (options.protocol === 'socketio') {
    const key = randomBytes(16).toString('base64')
    return `${head}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`
  }
  return `${head}Accept: text/event-stream\r\n${cursor === undefined ? '' : `Last-Event-ID: ${cursor}\r\n`}\r\n`
}

const openOne = (options: ConnectOptions, index: number): void => {
  const { protocol, port, sampleEvery = 0, keep = false } = options
  const socket = net.connect({
    port,
    host: '127.0.0.1',
    noDelay: true,
    onread: {
      buffer: readInto,
      callback: (length) => {
        reads++
        bytes += length
        const found = count(length)
        if (found > 0) {
          messages += found
          reader.messages += found
          lastAt = nowMicros()
          if (reader.goalAt === 0 && reader.messages >= goal) reader.goalAt = lastAt
        }
        if (reader.text !== null) reader.text.push(shared.toString('latin1', 0, length))
        if (reader.state < 2) greet(reader, protocol, length)
        else if (reader.sampled && found > 0) sampleTimes(reader, length)
        return true
      },
    },
  })
  const sampled = sampleEvery > 0 && index % sampleEvery === 0
  const reader: Reader = { socket, state: 0, messages: 0, goalAt: 0, sampled, rest: '', text: keep ? [] : null }
  readers.push(reader)
  if (protocol !== 'raw') socket.once('connect', () => socket.write(formatRequest(options, index)))
  socket.on('error', (error) => {
    if (!closing && reader.state < 2) process.stderr.write(`a reader failed: ${error.message}\n`)
  })
  socket.once('close', () => {
    if (reader.state < 2) failed++
    else if (reader.state === 2) closed++
    reader.state = 3
    onSettled()
  })
}

const open = (options: ConnectOptions): Promise<OpenReport> => {
  const { readers: wanted, inFlight = 400 } = options
  const startedAt = nowMicros()
  const [openBefore, failedBefore] = [opened, failed]
  goal = options.goal ?? Number.POSITIVE_INFINITY
  closing = false
  let next = 0
  return new Promise((resolve) => {
    const go = (): void => {
      const settled = opened - openBefore + failed - failedBefore
      while (next < wanted && next - settled < inFlight) openOne(options, next++)
      if (settled < wanted) return
      finish()
    }
    const limit = setTimeout(() => {
      const waiting = readers.filter(({ state }) => state < 2)
      process.stderr.write(
        `${opened - openBefore} open, ${failed - failedBefore} failed, ${waiting.length} without an answer: ` +
          `${JSON.stringify(waiting.slice(0, 3).map(({ socket, rest }) => [socket.connecting, socket.bytesWritten, rest]))}\n`,
      )
      finish()
    }, OPEN_LIMIT_MS)
    const finish = (): void => {
      clearTimeout(limit)
      onSettled = () => undefined
      resolve({
        ms: (nowMicros() - startedAt) / 1000,
        open: opened - openBefore,
        failed: failed - failedBefore,
        startedAt,
      })
    }
    onSettled = go
    go()
  })
}

const snapshot = (): Snapshot => ({
  at: nowMicros(),
  messages,
  bytes,
  reads,
  open: readers.filter((reader) => reader.state === 2).length,
  closed,
})

const thin = (times: number[]): [number, number][] => {
  const step = Math.max(1, times.length / 200)
  const points: [number, number][] = []
  for (let at = step - 1; at < times.length; at += step) points.push([times[Math.floor(at)]!, Math.floor(at) + 1])
  if (times.length > 0) points.push([times.at(-1)!, times.length])
  return points
}

const wait = async ({ each, timeoutMs }: { each: number; timeoutMs: number }): Promise<Waited> => {
  const deadline = performance.now() + timeoutMs
  const reached = () => readers.reduce((sum, reader) => sum + (reader.messages >= each ? 1 : 0), 0)
  // The sum is a cheap look before the dear one at every reader.
  while (performance.now() < deadline && (messages < each * readers.length || reached() < readers.length)) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const counts = readers.map((reader) => reader.messages)
  const times = readers.map((reader) => reader.goalAt).filter((at) => at > 0)
  return {
    reached: reached(),
    readers: readers.length,
    least: counts.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
    most: counts.reduce((a, b) => Math.max(a, b), 0),
    lastAt,
    goals: thin(times.sort((a, b) => a - b)),
  }
}

const report = (): LatencyReport => {
  const sorted = latencies.sort((a, b) => a - b)
  latencies = []
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { samples: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0 }
}

const closeAll = async (): Promise<void> => {
  closing = true
  const ends = readers.map(({ socket }) =>
    socket.closed ? null : new Promise<void>((resolve) => socket.once('close', () => resolve())),
  )
  for (const { socket } of readers) socket.resetAndDestroy()
  await Promise.all(ends)
  readers = []
  messages = bytes = reads = opened = failed = closed = 0
  latencies = []
}

serveCalls({
  open,
  snapshot,
  wait,
  latencies: report,
  closeAll,
  text: (index: number) => readers[index]?.text?.join('') ?? '',
  pause: (paused: boolean) => {
    for (const { socket } of readers) {
      if (paused) socket.pause()
      else socket.resume()
    }
  },
})
