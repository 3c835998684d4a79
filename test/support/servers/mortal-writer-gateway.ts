import { Worker } from 'node:worker_threads'

/** A gateway whose thread that writes to SQLite ends at SIGUSR2, as after an error that it does not survive. */
const { postMessage } = Worker.prototype
Worker.prototype.postMessage = function (this: Worker, ...message: Parameters<typeof postMessage>) {
  if ('op' in (message[0] as object) && process.listenerCount('SIGUSR2') === 0) {
    process.once('SIGUSR2', () => void this.terminate())
  }
  return postMessage.apply(this, message)
}
await import('../../../src/cli.ts')
