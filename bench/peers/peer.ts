import type { ConnectOptions } from '../load/driver-calls.ts'
import type { Destination } from '../load/publisher.ts'

/** A server that carries messages from publishers to readers, freshly started. */
export interface Peer {
  readonly name: string
  readonly protocol: ConnectOptions['protocol']
  readonly port: number
  /** Root processes whose trees are the server. */
  readonly pids: readonly number[]
  /** The path at which a reader of one event asks for what is new; with a cursor: for what follows it. */
  streamPath(event_id: string): string
  /** The path at which a reader gets everything from the first message on. */
  historyPath(event_id: string): string
  readonly destination: Destination
  stop(): Promise<void>
}

/** The names under which peers appear in tables. */
export const NAMES = {
  gateway: 'gateway',
  gatewayAmqp: 'gateway (RabbitMQ)',
  gatewaySearch: 'gateway (RabbitMQ, SEARCH=on)',
  onSqlite: 'gateway on SQLite',
  onPostgres: 'gateway on PostgreSQL',
  two: '2 gateways on PostgreSQL',
  three: '3 gateways on PostgreSQL',
  nchan: 'nchan',
  socketio: 'Socket.IO',
  flask: 'Flask-SocketIO',
  bare: 'bare consumer',
  pika: 'pika + SQLite',
  pikaWal: 'pika + SQLite, WAL',
  library: 'publisher',
  outbox: 'publisher with outbox',
  client: "rabbitmq-client's own",
  pikaConfirms: 'pika with confirms',
} as const
