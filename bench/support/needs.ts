import { type Broker, startBroker } from '../../test/support/servers/rabbitmq.ts'
import { debianVersion, ensure, packageVersion } from './provision.ts'

/** A broker that is started when first asked for, once. */
export const brokerOnDemand = (): { get: () => Promise<Broker>; end: () => Promise<void> } => {
  let starting: Promise<Broker> | null = null
  const start = async (): Promise<Broker> => {
    await ensure('rabbitmq')
    return startBroker()
  }
  return {
    get: () => (starting ??= start()),
    end: async () => {
      await (await starting?.catch(() => null))?.dispose()
    },
  }
}

/** The versions of everything that took part, by name; null: not there. */
export const versions = (): Record<string, string | null> => ({
  nginx: debianVersion('nginx'),
  nchan: debianVersion('libnginx-mod-nchan'),
  'socket.io': packageVersion('socket.io'),
  'flask-socketio': debianVersion('python3-flask-socketio'),
  eventlet: debianVersion('python3-eventlet'),
  pika: debianVersion('python3-pika'),
  rabbitmq: debianVersion('rabbitmq-server'),
  postgresql: debianVersion('postgresql'),
  'rabbitmq-client': packageVersion('rabbitmq-client'),
  'better-sqlite3': packageVersion('better-sqlite3'),
})
