import { fileURLToPath } from 'node:url'
import { freePort } from '../../test/support/harness/wait.ts'
import { Program } from '../support/program.ts'
import { ensure, PYTHON, packageVersion } from '../support/provision.ts'
import { accepts } from './accepts.ts'
import { NAMES, type Peer } from './peer.ts'

const start = async (name: string, command: string, script: string): Promise<Peer> => {
  const port = await freePort()
  const program = await Program.start({
    command,
    args: [fileURLToPath(new URL(script, import.meta.url)), String(port)],
    ready: () => accepts(port),
  })
  const path = (event_id: string): string => `/socket.io/?EIO=4&transport=websocket&event=${event_id}`
  return {
    name,
    protocol: 'socketio',
    port,
    pids: [program.pid],
    streamPath: path,
    historyPath: path,
    destination: { kind: 'http', port, path: '/pub/:event' },
    stop: () => program.stop(),
  }
}

/** Socket.IO on Node, websockets only, nothing stored. @throws Error when the package is not installed */
export const startSocketio = async (): Promise<Peer> => {
  if (packageVersion('socket.io') === null) throw new Error('the npm package socket.io is not installed')
  return start(NAMES.socketio, process.execPath, 'socketio-server.ts')
}

/** Flask-SocketIO under eventlet, as the original design pushed. @throws Error when it cannot be had */
export const startFlask = async (): Promise<Peer> => {
  await ensure('flask')
  return start(NAMES.flask, PYTHON, 'flask_server.py')
}
