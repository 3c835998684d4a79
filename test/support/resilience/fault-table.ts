import type { ErrorCode } from '../../../src/core/errors.ts'

/** The same text for docs/OPERATIONS.md and docs/zh/OPERATIONS.md. */
export type Text = { readonly en: string; readonly zh: string }

/** A test: its file below test/, and its name, with `…` for what the source inserts. */
export type Proof = readonly [file: string, name: string]

/** A fault, and what is expected of the gateway. `npm run fault-table` writes the table of both documents. */
export type FaultExpectation = {
  readonly fault: Text
  /** Components with their code in /readyz, in `gateway_component_faults` and in the log line `component failed`. */
  readonly named?: readonly (readonly [component: string, code: ErrorCode])[]
  /** The code of answers over HTTP, if no component fails. */
  readonly answer?: ErrorCode
  /** Codes with which the gateway does not start. */
  readonly startup?: readonly ErrorCode[]
  readonly metric?: string
  /** An alert of deploy/alerts.yml that no metric of the gateway itself can raise. */
  readonly alert?: string
  /** A log message. */
  readonly log?: string
  /** What happens to messages by itself. */
  readonly messages: Text
  /** What streams and REST do. */
  readonly readers: Text
  readonly tests: readonly Proof[]
}

const BOTH = ['consumer', 'publisher'] as const

const onBoth = (code: ErrorCode): readonly (readonly [string, ErrorCode])[] =>
  BOTH.map((component) => [component, code] as const)

const CONTINUE: Text = { en: 'continue', zh: '照常' }
const RECONNECT: Text = {
  en: 'clients reconnect and resume from their cursor',
  zh: '客户端自动重连，从各自的游标继续',
}

const KILL = 'resilience/kill.test.ts'
const BROKER_KILL = 'resilience/broker-kill.test.ts'
const STORAGE = 'resilience/storage-faults.test.ts'
const BROKER_FAULTS = 'integration/ingest/broker-faults.test.ts'
const LINE = 'integration/ingest/broker-connection.test.ts'
const TOPOLOGY = 'integration/ingest/topology.test.ts'
const WORKERS = 'integration/cluster/workers.test.ts'
const FAILURES = 'integration/cluster/worker-failures.test.ts'
const SHUTDOWN = 'integration/cluster/shutdown.test.ts'
const EDGE = 'integration/upstream/edge.test.ts'

/** Every kind of fault that a test injects, in the order of the documents. */
export const FAULT_TABLE: readonly FaultExpectation[] = [
  {
    fault: { en: 'The gateway is down or is killed', zh: '网关停机或被杀死' },
    alert: 'GatewayDown',
    messages: {
      en: 'wait in RabbitMQ; what was committed but not acknowledged is delivered again and stored once',
      zh: '在 RabbitMQ 中等待；已提交但未确认的会再次投递，只存储一次',
    },
    readers: RECONNECT,
    tests: [
      [KILL, 'a gateway that is killed … times under load loses nothing and doubles nothing'],
      [KILL, 'a crash between the commit and the acknowledgement duplicates nothing'],
      [KILL, 'a crash inside the transaction loses nothing and leaves no partial batch'],
      [TOPOLOGY, 'a load over a classic queue survives a crash of its gateway too'],
      [
        'integration/ingest/quarantine.test.ts',
        'an invalid message redelivered after a crash is not quarantined twice, one sent twice is',
      ],
    ],
  },
  {
    fault: { en: 'The gateway is stopped or restarted (SIGTERM)', zh: '网关被停止或重启（SIGTERM）' },
    named: [['gateway', 'shutting_down']],
    log: 'stopping',
    messages: {
      en: 'what was received is committed and acknowledged, the rest waits in RabbitMQ',
      zh: '已收到的提交并确认，其余在 RabbitMQ 中等待',
    },
    readers: {
      en: 'streams end with `closing` and a spread `retry:`; clients resume from their cursor',
      zh: '流以 `closing` 和错开的 `retry:` 结束，客户端从各自的游标继续',
    },
    tests: [
      [SHUTDOWN, '… under load ends every stream with a word and the process in order, and loses nothing'],
      [SHUTDOWN, 'messages committed before a shutdown are acknowledged: the broker does not redeliver them'],
      [SHUTDOWN, 'messages in flight to a gateway that stops keep their order'],
      [SHUTDOWN, 'neither a client that never reads nor one with request after request delays a shutdown by SIGINT'],
    ],
  },
  {
    fault: { en: 'The database hangs during a stop', zh: '停止时数据库没有响应' },
    log: 'shutdown deadline exceeded; RabbitMQ will redeliver unacknowledged messages',
    messages: {
      en: 'the process ends after `SHUTDOWN_SECONDS`; what was not stored is delivered again',
      zh: '进程在 `SHUTDOWN_SECONDS` 之后结束；没有存储的会再次投递',
    },
    readers: { en: 'streams end with `closing` all the same', zh: '流同样以 `closing` 结束' },
    tests: [
      [SHUTDOWN, 'a hanging store does not delay the shutdown, and messages that it did not store are redelivered'],
      [SHUTDOWN, 'a second signal ends the process immediately, even while the store hangs'],
    ],
  },
  {
    fault: { en: 'A worker exits or is killed', zh: '某个工作进程退出或被杀死' },
    log: 'worker exited, restarting',
    messages: {
      en: 'another worker consumes, in order; the worker is replaced',
      zh: '另一个工作进程按顺序接着消费；退出的会被替换',
    },
    readers: {
      en: 'only its own connections break; these clients reconnect and resume',
      zh: '只有它自己的连接断开，这些客户端重连并继续',
    },
    tests: [
      [WORKERS, 'a worker that dies is replaced and takes only its own connections with it'],
      [
        WORKERS,
        'when the consuming worker dies, the next takes over in order, and nothing is lost, nor when all die at once',
      ],
      [FAILURES, 'counters and histograms never fall when workers are killed, and keep what the dead have counted'],
      [FAILURES, 'the primary survives workers that are killed while it writes to them'],
      ['integration/http/quotas.test.ts', 'the slots of a worker that dies are released'],
    ],
  },
  {
    fault: { en: 'A worker hangs', zh: '某个工作进程卡住' },
    named: [['workers', 'worker_unresponsive']],
    log: 'workers do not respond',
    messages: {
      en: 'it is killed and replaced after `WORKER_TIMEOUT_SECONDS`; what it had not acknowledged is delivered to another one. If it continues before, it does not store what it still held',
      zh: '`WORKER_TIMEOUT_SECONDS` 之后它被杀死并替换；它没有确认的会投递给另一个工作进程；它若在此之前恢复，不会存入手里剩下的消息',
    },
    readers: {
      en: 'continue on the other workers; its own clients wait until it is killed, then resume',
      zh: '其他工作进程照常；它自己的客户端要等到它被杀死，然后继续',
    },
    tests: [
      [
        FAILURES,
        'a worker that hangs is named by /readyz within 10 s, does not stop /metrics, and is killed and replaced',
      ],
      [
        'integration/ingest/frozen-consumer.test.ts',
        'a worker that was frozen until another one took over stores nothing again',
      ],
    ],
  },
  {
    fault: { en: 'The primary is killed', zh: '主进程被杀死' },
    log: 'the primary exited, stopping',
    messages: {
      en: 'each worker commits, acknowledges and exits; the supervisor starts the gateway again',
      zh: '每个工作进程提交、确认后退出；由进程管理器重新启动网关',
    },
    readers: { en: 'streams end with `closing`; clients reconnect', zh: '流以 `closing` 结束，客户端重连' },
    tests: [
      [FAILURES, 'workers whose primary is killed under load close their streams, commit, acknowledge and exit'],
      [WORKERS, 'workers exit when the primary is killed'],
    ],
  },
  {
    fault: { en: 'The primary has no free file descriptor', zh: '主进程没有空闲的文件描述符' },
    log: 'worker error',
    messages: {
      en: 'a worker is replaced as soon as there is a descriptor',
      zh: '一有空闲的描述符就启动缺少的工作进程',
    },
    readers: CONTINUE,
    tests: [[FAILURES, 'a primary without free descriptors replaces a worker once it has some again']],
  },
  {
    fault: { en: 'Idle clients take all connections or file descriptors', zh: '空闲客户端占满了连接或文件描述符' },
    named: [
      ['connections', 'too_many_connections'],
      ['connections', 'too_many_open_files'],
    ],
    messages: CONTINUE,
    readers: {
      en: 'open streams continue; on further connections streams are closed and requests refused (`overloaded`), health checks are answered',
      zh: '已打开的流照常；更多的连接上，流被关闭，请求以 `overloaded` 被拒绝，健康检查有应答',
    },
    tests: [
      [
        'integration/http/connections.test.ts',
        'idle clients leave descriptors for everything else: streams and commits go on, /readyz names the cause, and it passes',
      ],
      [
        'resilience/idle-connections.test.ts',
        '…: each takes little memory, their number is bounded, and neighbours are served',
      ],
    ],
  },
  {
    fault: { en: 'The machine or the primary was suspended', zh: '机器或主进程曾被挂起' },
    messages: { en: 'no worker is killed for it', zh: '不会因此杀死工作进程' },
    readers: RECONNECT,
    tests: [[FAILURES, 'a suspended machine and a stopped primary kill no worker']],
  },
  {
    fault: { en: 'RabbitMQ is unreachable, stopped or killed', zh: 'RabbitMQ 不可用、停止或被杀死' },
    named: onBoth('broker_unreachable'),
    messages: {
      en: 'agents with an outbox keep them ([PUBLISHING.md](PUBLISHING.md)); publishing over HTTP is refused with the same code; the gateway keeps connecting',
      zh: '使用 outbox 的智能体自己保存（[发布消息](PUBLISHING.md)）；通过 HTTP 发布会以同样的错误码被拒绝；网关不断重连',
    },
    readers: CONTINUE,
    tests: [
      [BROKER_KILL, 'a broker that is killed … times under load costs no confirmed message and doubles none'],
      [BROKER_KILL, 'a broker that is shut down gracefully and restarts loses nothing either'],
      [BROKER_FAULTS, 'the gateway waits for a broker that is down at startup'],
      [BROKER_FAULTS, 'publishing over HTTP without a broker is refused immediately, and nothing is stored'],
      [
        'integration/publisher/publisher-faults.test.ts',
        '… messages get through … … of the broker: none lost, none twice, all in order',
      ],
      [
        'integration/publisher/publisher-faults.test.ts',
        'a broker crash in the middle of a burst of Python agents loses nothing and keeps the order',
      ],
    ],
  },
  {
    fault: { en: 'A node of a RabbitMQ cluster dies', zh: 'RabbitMQ 集群中的一个节点退出' },
    named: onBoth('broker_unreachable'),
    messages: {
      en: 'the gateway connects to the next node; publishing over HTTP is refused until the queue has a leader again, for seconds',
      zh: '网关连接到下一个节点；在队列重新选出 leader 之前的几秒内，通过 HTTP 发布会被拒绝',
    },
    readers: CONTINUE,
    tests: [
      [
        'resilience/broker-cluster.test.ts',
        'that loses the leader of the queue … times under load costs no confirmed message and doubles none',
      ],
    ],
  },
  {
    fault: { en: 'The connection to RabbitMQ is silent or breaks', zh: '与 RabbitMQ 的连接没有响应或断开' },
    named: onBoth('broker_unreachable'),
    messages: {
      en: 'a silent connection is given up within 10 seconds; unacknowledged messages are delivered again and stored once',
      zh: '没有响应的连接在 10 秒内被放弃；未确认的会再次投递，只存储一次',
    },
    readers: CONTINUE,
    tests: [
      [LINE, 'a silent connection is detected by heartbeat, and nothing is lost'],
      [LINE, 'a connection that is silent for a moment loses and duplicates nothing'],
      [LINE, 'a connection that is reset repeatedly loses nothing'],
      [
        'integration/publisher/publisher.test.ts',
        'lost connections in the middle of a burst lose nothing and keep the order of each event',
      ],
    ],
  },
  {
    fault: { en: 'RabbitMQ has a memory or disk alarm', zh: 'RabbitMQ 有内存或磁盘告警' },
    named: [['publisher', 'broker_blocked']],
    messages: {
      en: 'what is queued is still delivered and stored; publishing is refused until the alarm is over',
      zh: '已在队列中的照常投递和存储；告警解除之前拒绝发布',
    },
    readers: CONTINUE,
    tests: [
      [BROKER_KILL, 'during a … alarm publishing is refused immediately, and queued messages are delivered'],
      [
        'integration/publisher/publisher-faults.test.ts',
        'a memory alarm is reported as such, and loses neither messages nor their order',
      ],
      [
        'integration/publisher/publisher-faults.test.ts',
        'close does not wait for the end of an alarm, and an outbox goes on where it was',
      ],
    ],
  },
  {
    fault: { en: 'RabbitMQ refuses login, vhost or permissions', zh: 'RabbitMQ 拒绝登录、vhost 或权限' },
    named: [
      ['consumer', 'broker_auth_failed'],
      ['consumer', 'broker_vhost_missing'],
      ['consumer', 'broker_access_refused'],
    ],
    messages: {
      en: 'wait in RabbitMQ; a correction is noticed without a restart',
      zh: '在 RabbitMQ 中等待；改正之后无需重启就会恢复',
    },
    readers: CONTINUE,
    tests: [
      [BROKER_FAULTS, 'a refused login is reported, and a corrected password is detected'],
      [BROKER_FAULTS, 'a missing vhost is reported, and detected once it exists'],
      [BROKER_FAULTS, 'missing permissions are reported, and detected once they are granted'],
    ],
  },
  {
    fault: { en: 'The certificate of RabbitMQ is not accepted', zh: 'RabbitMQ 的证书不被接受' },
    named: [
      ['consumer', 'broker_certificate_untrusted'],
      ['consumer', 'broker_certificate_name'],
    ],
    messages: {
      en: 'wait in RabbitMQ; renewed files are used at the next connection',
      zh: '在 RabbitMQ 中等待；下一次连接就使用更新后的文件',
    },
    readers: CONTINUE,
    tests: [
      [
        'integration/ingest/broker-tls.test.ts',
        'refuses a broker without a certificate of a trusted authority, and names the setting',
      ],
      ['integration/ingest/broker-tls.test.ts', 'refuses a broker whose certificate is for another name'],
      ['integration/ingest/broker-tls.test.ts', 'takes renewed files at its next connection, without a restart'],
    ],
  },
  {
    fault: { en: 'Queue or exchange exist with other arguments', zh: '队列或交换机已存在，但参数不同' },
    named: [['consumer', 'broker_precondition_failed']],
    messages: {
      en: 'stay in that queue, which is left unchanged; once it is deleted, it is declared correctly',
      zh: '留在那个队列中，队列保持不变；删除它之后，网关会正确地声明',
    },
    readers: CONTINUE,
    tests: [
      [
        BROKER_FAULTS,
        'a queue of the same name with other arguments is reported and left unchanged; once it is deleted, everything works',
      ],
      [BROKER_FAULTS, 'an exchange of another type is reported likewise'],
    ],
  },
  {
    fault: { en: 'The queue is deleted', zh: '队列被删除' },
    named: [['consumer', 'broker_error']],
    messages: {
      en: 'those in the queue are lost; it is declared and bound again at once',
      zh: '队列中的会丢失；网关立即重新声明并绑定',
    },
    readers: CONTINUE,
    tests: [[TOPOLOGY, 'a queue that is deleted under its consumer is declared and bound again']],
  },
  {
    fault: { en: 'A binding of the queue is deleted', zh: '队列的某个绑定被删除' },
    alert: 'GatewayBindingDeleted',
    metric: 'gateway_binding_deletions_total',
    log: 'a binding of the queue was deleted; it is declared again',
    messages: {
      en: 'arrive over its second binding; both are there again within a second',
      zh: '经由第二个绑定照常到达；一秒之内两个绑定都会恢复',
    },
    readers: CONTINUE,
    tests: [
      [
        'integration/ingest/deleted-bindings.test.ts',
        'while one binding after the other is deleted, no message of a publisher without the mandatory flag is lost',
      ],
      ['integration/ingest/deleted-bindings.test.ts', 'each exchange and binding that is deleted by itself comes back'],
    ],
  },
  {
    fault: { en: 'The exchange is deleted', zh: '交换机被删除' },
    answer: 'publish_unroutable',
    metric: 'gateway_exchange_deletions_total',
    log: 'the exchange was deleted; it is declared and bound again',
    messages: {
      en: 'agents get an error for each message; it is declared and bound again within a second',
      zh: '智能体的每条消息都会收到错误；一秒之内重新声明并绑定',
    },
    readers: CONTINUE,
    tests: [
      [TOPOLOGY, 'an exchange that is deleted under a consumer, without a notification, is declared again'],
      [
        'integration/ingest/deleted-bindings.test.ts',
        'an exchange that another client deletes and declares again is bound again; each time is logged and counted',
      ],
      [
        'integration/ingest/exchange-publisher.test.ts',
        'an unroutable message is refused over HTTP, and accepted once the binding is back',
      ],
      ['integration/publisher/outbox.test.ts', 'a missing exchange holds messages back until it is there'],
    ],
  },
  {
    fault: { en: 'RabbitMQ gives up on a message (delivery limit)', zh: 'RabbitMQ 放弃某条消息（投递次数上限）' },
    metric: 'gateway_dead_letter_messages_ready',
    messages: {
      en: 'it goes to the dead-letter queue, which the gateway reads back, and is stored once; given up on there too, it is [parked](#parked-messages)',
      zh: '它进入死信队列，网关会读回来，只存储一次；在死信队列中再次被放弃的停放在 `<queue>.parked`',
    },
    readers: CONTINUE,
    tests: [
      [
        'integration/ingest/dead-letters.test.ts',
        'messages that the broker gives up on after crashes at … arrive all the same, once each',
      ],
      [
        'integration/ingest/dead-letters.test.ts',
        'messages of the dead-letter queue are read back: valid ones once, invalid ones into the quarantine',
      ],
      [
        'integration/ingest/dead-letters.test.ts',
        'a dead letter that the broker gives up on is parked, not deleted, whatever the number of crashes',
      ],
    ],
  },
  {
    fault: { en: 'The queue is full', zh: '队列已满' },
    answer: 'publish_nacked',
    messages: { en: 'those that RabbitMQ refuses are reported as refused', zh: 'RabbitMQ 拒绝的会报告为被拒绝' },
    readers: CONTINUE,
    tests: [
      [
        'integration/publisher/publisher.test.ts',
        'messages that a full queue refuses are reported as refused; the others are confirmed',
      ],
      [
        'integration/publisher/outbox.test.ts',
        'messages that the broker refuses are retried without losing their place in the event',
      ],
    ],
  },
  {
    fault: { en: 'A message is larger than RabbitMQ allows', zh: '消息超过 RabbitMQ 的上限' },
    answer: 'body_too_large',
    messages: {
      en: 'it is refused with that limit, the others are accepted',
      zh: '它被拒绝并附上该上限，其他照常接受',
    },
    readers: CONTINUE,
    tests: [[BROKER_KILL, 'a message above the limit of RabbitMQ is refused with that limit, and costs no neighbour']],
  },
  {
    fault: { en: 'A message is invalid', zh: '某条消息无效' },
    metric: 'gateway_messages_quarantined_total',
    log: 'messages quarantined',
    messages: {
      en: 'goes to [quarantine](#quarantine), the others are stored',
      zh: '它进入[隔离区](#隔离区)，其他消息照常存储',
    },
    readers: CONTINUE,
    tests: [
      [
        'integration/ingest/quarantine.test.ts',
        'every bad body is quarantined whole and with its reason, between neighbours that arrive in order',
      ],
    ],
  },
  {
    fault: { en: 'A replay of the quarantine is killed, or cannot write', zh: '重放隔离区时被杀死，或写不进去' },
    answer: 'storage_busy',
    messages: {
      en: 'each is either in the quarantine or stored; replay again',
      zh: '每条要么仍在隔离区，要么已存储；再次重放即可',
    },
    readers: CONTINUE,
    tests: [
      [
        'integration/cli/rejected.test.ts',
        'kill -9 during a replay leaves each message in exactly one of the two places',
      ],
      [
        'integration/http/quarantine.test.ts',
        'rows reported as stored or deleted survive a kill; if writing fails, an error is returned and the row is kept',
      ],
    ],
  },
  {
    fault: { en: 'The database cannot be written: disk full, I/O error', zh: '数据库写不进去：磁盘满、I/O 错误' },
    named: [['store_write', 'storage_unavailable']],
    metric: 'gateway_commit_failures_total',
    messages: {
      en: 'nothing is acknowledged; the same batch is retried with backoff, and 2.5 seconds after the first failure the deliveries return to the queue, in order, until the database can be written',
      zh: '不确认；同一批消息以递增的间隔重试，首次失败 2.5 秒后按顺序退回队列，直到数据库能写入',
    },
    readers: { en: 'continue, as far as the database can be read', zh: '只要数据库还能读，就照常' },
    tests: [
      [STORAGE, 'a full disk stops acknowledging, keeps streams open, and loses nothing'],
      [STORAGE, 'a store that fails for long gets its messages back in order, and a delivery limit drops none'],
    ],
  },
  {
    fault: { en: 'The thread that writes to SQLite ends', zh: '写 SQLite 的线程退出' },
    log: 'the database can be written no more, stopping',
    messages: {
      en: 'nothing is acknowledged; the process stops with exit code 1, and is started again by its supervisor, a worker by the primary',
      zh: '不确认；进程以退出码 1 停止，由监管程序重新启动，工作进程由主进程替换',
    },
    readers: {
      en: 'streams of the process end with `closing`; clients resume',
      zh: '该进程的流以 `closing` 结束，客户端继续',
    },
    tests: [[FAILURES, 'a process whose writer of the database has ended is started again (WORKERS=…)']],
  },
  {
    fault: { en: 'Another process locks the database', zh: '另一个进程锁住了数据库' },
    named: [['store_write', 'storage_busy']],
    metric: 'gateway_commit_failures_total',
    messages: { en: 'as for a full disk; a start waits', zh: '同磁盘满；启动时会等待' },
    readers: CONTINUE,
    tests: [
      [STORAGE, 'the gateway waits for a write lock of another process, and acknowledges nothing meanwhile'],
      [STORAGE, 'messages that wait for the store take no more memory than INGEST_BUFFER_BYTES allows'],
      ['unit/store/sqlite-faults.test.ts', 'a file that … is waited for, with one warning, and not for ever'],
    ],
  },
  {
    fault: { en: 'A file of the database is removed or replaced', zh: '数据库的某个文件被移走或替换' },
    named: [['store_write', 'database_replaced']],
    messages: {
      en: 'nothing is acknowledged any more; what is committed is saved ([SQLite](#the-sqlite-database)). Restart the gateway after the repair',
      zh: '不再确认；已提交的会保全（[SQLite](#sqlite-数据库)）。修好之后重启网关',
    },
    readers: { en: 'continue until the restart', zh: '重启之前照常' },
    tests: [
      [STORAGE, 'a database file that is … is named, and nothing is acknowledged any more'],
      [STORAGE, 'a -wal and -shm removed under … workers cost nothing that was answered with 201'],
      [STORAGE, 'a database that is removed while nothing arrives is detected as well'],
    ],
  },
  {
    fault: { en: 'The database is damaged while the gateway runs', zh: '数据库在网关运行时损坏' },
    named: [
      ['store_read', 'database_corrupt'],
      ['store_write', 'database_corrupt'],
    ],
    messages: {
      en: 'nothing is acknowledged until a check of the database passes; what to do: [Damage](#damage)',
      zh: '在对数据库的一次检查通过之前不确认；处理方法见[数据库损坏](#数据库损坏)',
    },
    readers: {
      en: 'continue, except those that need damaged rows: REST answers 503, streams end with `closing`',
      zh: '照常；需要损坏行的除外：REST 返回 503，流以 `closing` 结束',
    },
    tests: [
      [
        'resilience/corruption.test.ts',
        'pages zeroed under … workers cost only what needs them; /readyz is 503 meanwhile',
      ],
      [
        'resilience/corruption.test.ts',
        'nothing is acknowledged while the database is damaged, and nothing is lost afterwards',
      ],
      ['integration/store/postgres-damage.test.ts', 'damage of … is reported until what has failed succeeds'],
    ],
  },
  {
    fault: { en: 'The search index is deleted or damaged', zh: '搜索索引被删除或损坏' },
    metric: 'gateway_search_index_pending_messages',
    messages: {
      en: 'are stored as usual; the index is rebuilt',
      zh: '照常存储；索引自动重建',
    },
    readers: { en: 'continue; a search finds what is indexed so far', zh: '照常；搜索只能找到目前已建立索引的消息' },
    tests: [
      [
        'unit/store/search-index.test.ts',
        'an index that is deleted, cut off, of another version or of another store is rebuilt',
      ],
    ],
  },
  {
    fault: { en: 'The machine loses its power', zh: '机器断电' },
    messages: {
      en: 'all that was acknowledged is stored; the rest is delivered again',
      zh: '已确认的都已存储；其余会再次投递',
    },
    readers: RECONNECT,
    tests: [
      [
        'resilience/power-loss.test.ts',
        'takes no message that was answered with 201, whatever part of the unsynced writes reaches the disk',
      ],
    ],
  },
  {
    fault: {
      en: 'The database is damaged, foreign or newer at a start',
      zh: '启动时数据库已损坏、不属于网关，或版本比网关新',
    },
    startup: ['database_corrupt', 'database_not_ours', 'database_newer'],
    messages: { en: 'the gateway does not start, and changes nothing', zh: '网关不启动，也不做任何改动' },
    readers: { en: 'are down', zh: '停止服务' },
    tests: [
      ['unit/store/sqlite-file.test.ts', 'that is damaged is refused untouched'],
      ['unit/store/sqlite-file.test.ts', 'of another application is refused untouched'],
      ['integration/store/migrations.test.ts', 'never downgrade: a file of a later version is rejected unchanged'],
    ],
  },
  {
    fault: { en: 'An upgrade of the database fails or is killed', zh: '数据库升级失败或被杀死' },
    startup: ['database_upgrade_failed'],
    messages: {
      en: 'the previous version is left complete; the next start completes the upgrade',
      zh: '保持完整的旧版本；下一次启动时完成升级',
    },
    readers: { en: 'are down', zh: '停止服务' },
    tests: [
      ['integration/store/migrations.test.ts', 'one that fails rolls back all before it, and is named'],
      [
        'integration/store/migrations.test.ts',
        'a kill in the middle leaves the previous version, and the next start completes the upgrade',
      ],
      ['integration/store/migrations.test.ts', 'a full disk leaves the previous version'],
    ],
  },
  {
    fault: { en: 'An older copy of the database is restored', zh: '恢复了较旧的数据库' },
    metric: 'gateway_cursor_resets_total',
    messages: {
      en: 'no id is given out again ([backup](#backup-and-restore)); messages stored after the copy are missing',
      zh: '不会再次分配已用过的编号（[备份](#备份与恢复)）；备份之后存储的消息缺失',
    },
    readers: {
      en: 'a new `log_id`; clients read again and miss nothing new',
      zh: '新的 `log_id`；客户端重新读取，不会漏掉新消息',
    },
    tests: [
      [
        'integration/store/backup.test.ts',
        'under load it is consistent, and clients that resume on the restored store miss nothing, twice',
      ],
      [
        'integration/store/backup.test.ts',
        'a crash during the restore leaves a backup, not a store that assigns ids twice',
      ],
      [
        'integration/store/postgres.test.ts',
        'a restored copy has its own log_id, and assigns no id that the lost store can have assigned (R1)',
      ],
    ],
  },
  {
    fault: { en: 'PostgreSQL is unreachable or fails over', zh: 'PostgreSQL 不可用或正在切换' },
    named: [
      ['store_write', 'database_unreachable'],
      ['store_write', 'database_read_only'],
    ],
    messages: {
      en: 'nothing is acknowledged; a commit whose answer was lost is recognized',
      zh: '不确认；应答丢失的提交会被识别出来',
    },
    readers: { en: 'streams stay open and go on later; REST answers 503', zh: '流保持打开，之后继续；REST 返回 503' },
    tests: [
      [
        'integration/cluster/postgres-hosts.test.ts',
        'a database that loses its power in a burst loses nothing acknowledged; streams stay, and go on',
      ],
      [
        'integration/cluster/postgres-hosts.test.ts',
        'gateways that are killed in a burst, one after the other, lose nothing and store nothing twice',
      ],
      [
        'integration/store/postgres.test.ts',
        'a commit whose response is lost is detected: neither messages nor quarantined ones are stored twice',
      ],
      [
        'resilience/postgres-faults.test.ts',
        'a failover to a synchronous standby under load loses nothing acknowledged, and no stream ends',
      ],
      [
        'integration/store/postgres.test.ts',
        'a listener that lost its connection listens again, and reports that notifications may be missing',
      ],
    ],
  },
  {
    fault: { en: 'PostgreSQL does not respond, without an error', zh: 'PostgreSQL 没有响应，也不报错' },
    named: [
      ['store_write', 'database_unreachable'],
      ['store_read', 'database_unreachable'],
    ],
    messages: { en: 'as above; all calls fail at once from then on', zh: '同上；此后所有调用立即失败' },
    readers: { en: 'as above; new streams get 503', zh: '同上；新的流得到 503' },
    tests: [
      [
        'integration/store/postgres.test.ts',
        'a silent server is noticed by a check, fails what is in progress and further calls at once, and is used again',
      ],
    ],
  },
  {
    fault: { en: 'One of several hosts is cut off from PostgreSQL', zh: '多台主机中的一台与 PostgreSQL 断开' },
    named: [
      ['store_write', 'database_unreachable'],
      ['store_read', 'database_unreachable'],
    ],
    metric: 'gateway_streams_closed_total',
    messages: {
      en: 'its deliveries return to the queue within 10 seconds of the cut, in order, and another host consumes',
      zh: '断开后 10 秒之内，它的投递按顺序退回队列，由另一台主机消费',
    },
    readers: {
      en: 'once another host has consumed for 20 seconds, its streams end with `closing` (`database_unreachable`), and clients resume on another host',
      zh: '另一台主机消费满 20 秒后，它的流以 `closing`（`database_unreachable`）结束，客户端在另一台主机上继续',
    },
    tests: [
      [
        'resilience/cut-off-host.test.ts',
        'names it within 10 s, hands the queue and its streams to another host, in order, and comes back',
      ],
      [
        'unit/store/store-monitor.test.ts',
        'ends the streams once the store cannot be read for 20 seconds although another host consumes',
      ],
    ],
  },
  {
    fault: { en: 'The synchronous standby of PostgreSQL is gone', zh: 'PostgreSQL 的同步备库不在了' },
    named: [['store_write', 'database_standby_unavailable']],
    messages: {
      en: 'nothing is acknowledged before it is on a standby, also if an operator cancels the wait',
      zh: '到达备库之前不确认，即使有人取消了等待',
    },
    readers: CONTINUE,
    tests: [
      [
        'resilience/postgres-faults.test.ts',
        'commits that wait for a missing standby are named within 10 s, until they succeed, and nothing is acknowledged',
      ],
      [
        'resilience/postgres-faults.test.ts',
        'a commit that did not wait for its standby is a failure, and whoever finds it stored waits as well',
      ],
    ],
  },
  {
    fault: {
      en: 'An old primary of PostgreSQL runs again after a failover',
      zh: '故障切换之后，PostgreSQL 的旧主库又运行起来',
    },
    named: [['store_write', 'database_old_timeline']],
    log: 'an old primary is not used',
    messages: {
      en: 'no connection to it is used; the fault is only named if the new primary cannot be reached',
      zh: '不使用到它的连接；连不上新主库时才报告故障',
    },
    readers: CONTINUE,
    tests: [
      [
        'resilience/postgres-faults.test.ts',
        'a failover to a synchronous standby under load loses nothing acknowledged, and no stream ends',
      ],
    ],
  },
  {
    fault: { en: 'The clock of a host differs from that of PostgreSQL', zh: '某台主机的时钟与 PostgreSQL 不一致' },
    metric: 'gateway_clock_offset_seconds',
    log: 'the clocks of this host and of PostgreSQL differ',
    messages: {
      en: 'the clock of PostgreSQL decides about retention and revocations, and `received_at` follows it',
      zh: '保留策略和吊销以 PostgreSQL 的时钟为准，`received_at` 也按它记录',
    },
    readers: CONTINUE,
    tests: [
      [
        'integration/store/postgres.test.ts',
        'the clock of the server decides about retention, whatever that of a host is, which is named',
      ],
      [
        'integration/store/postgres.test.ts',
        'a host whose clock is ahead neither deletes the revocations of others nor revokes tokens of the future',
      ],
    ],
  },
  {
    fault: { en: 'Another gateway upgrades the tables meanwhile', zh: '另一个网关在运行期间升级了表' },
    named: [['store_write', 'database_newer']],
    log: 'a newer gateway has upgraded the tables',
    messages: {
      en: 'one version ahead: continue, with the warning; more: nothing is acknowledged ([upgrade](#upgrade-and-downgrade))',
      zh: '只新一个版本：照常，并有警告；新两个或更多版本：不确认（[升级](#升级与降级)）',
    },
    readers: CONTINUE,
    tests: [
      [
        'integration/store/postgres.test.ts',
        'tables that are upgraded under a running store are used one version ahead, with a warning, and no further',
      ],
    ],
  },
  {
    fault: { en: 'PostgreSQL is not there at a start, or locked', zh: '启动时 PostgreSQL 不可用或被锁住' },
    log: 'waiting for the database',
    messages: { en: 'the start waits, and names the cause', zh: '启动时等待，并说明原因' },
    readers: { en: 'are down', zh: '停止服务' },
    tests: [
      [
        'integration/cluster/postgres-hosts.test.ts',
        'a gateway that starts before its database waits for it; one that is refused reports the reason and exits',
      ],
      ['integration/store/postgres.test.ts', 'transient errors of PostgreSQL delay startup and do not end it'],
      [
        'integration/store/postgres.test.ts',
        'a locked table that a gateway reads at its start is waited for, and named',
      ],
      ['unit/store/retry-start.test.ts', 'waits without a limit while the error can pass, and names each cause once'],
    ],
  },
  {
    fault: {
      en: 'PostgreSQL is full, or the role has no connection left',
      zh: 'PostgreSQL 磁盘满，或该角色没有剩余的连接',
    },
    named: [
      ['store_write', 'database_full'],
      ['store_write', 'database_too_many_connections'],
    ],
    messages: { en: 'nothing is acknowledged meanwhile', zh: '期间不确认' },
    readers: CONTINUE,
    tests: [
      [
        'resilience/postgres-faults.test.ts',
        'a role without a connection left is named, nothing is acknowledged meanwhile, and the gateway recovers',
      ],
      [
        'resilience/postgres-faults.test.ts',
        'a full disk of PostgreSQL stops acknowledging, is named, and loses nothing',
      ],
    ],
  },
  {
    fault: {
      en: 'PostgreSQL is reached through a pooler in transaction mode',
      zh: '经由事务模式的连接池访问 PostgreSQL',
    },
    named: [['store_write', 'database_unsuitable']],
    messages: { en: 'nothing is acknowledged', zh: '不确认' },
    readers: CONTINUE,
    tests: [
      [
        'integration/store/pgbouncer.test.ts',
        'a pooler in transaction mode never gets a commit that another client has made unsafe, and is named',
      ],
    ],
  },
  {
    fault: { en: 'One of several gateways on a queue dies', zh: '同一队列的多个网关中有一个退出' },
    metric: 'gateway_queue_consumers',
    messages: { en: 'the next one consumes', zh: '由下一个接着消费' },
    readers: { en: 'its clients reconnect', zh: '它的客户端重连' },
    tests: [
      [
        TOPOLOGY,
        'of two gateways on one queue one consumes; when it is killed the other takes over, and nothing is lost',
      ],
    ],
  },
  {
    fault: { en: 'A client reads slowly or not at all', zh: '客户端读得慢，或根本不读' },
    metric: 'gateway_streams_closed_total',
    messages: CONTINUE,
    readers: {
      en: 'the client alone is closed after 30 seconds without progress (`too_slow`), and resumes from its cursor',
      zh: '30 秒毫无进展后只关闭这个客户端（`too_slow`），它从游标继续',
    },
    tests: [
      [
        'resilience/stream-load.test.ts',
        'use no memory for a client that never reads, delay no others, and disconnect it after 30 s',
      ],
      ['resilience/stream-load.test.ts', 'resume when a client pauses and reads again'],
      [
        'integration/streams/slow-subscriber.test.ts',
        'is not disconnected while it makes progress, though one write of the gateway lasts more than 30 s',
      ],
    ],
  },
  {
    fault: { en: 'Clients attack with slow, endless or countless requests', zh: '客户端用缓慢、无尽或大量的请求攻击' },
    answer: 'request_timeout',
    metric: 'gateway_http_requests_denied_total',
    messages: CONTINUE,
    readers: {
      en: 'these requests are ended by timeouts and limits; other clients miss nothing',
      zh: '这些请求被超时和限额终止；其他客户端什么也不会漏掉',
    },
    tests: [
      ['resilience/attack.test.ts', '… connections whose head never ends are ended, and honest readers miss nothing'],
      ['resilience/attack.test.ts', 'endless bodies are rejected without being read'],
      [
        'integration/http/http2.test.ts',
        'survives a flood of … in bounded memory, while an honest reader misses nothing',
      ],
    ],
  },
  {
    fault: { en: 'A client breaks off its request', zh: '客户端中断了请求' },
    answer: 'request_aborted',
    messages: { en: 'that request stores nothing', zh: '该请求不存储任何消息' },
    readers: CONTINUE,
    tests: [['integration/http/publish.test.ts', 'discards an aborted request, and nothing else']],
  },
  {
    fault: { en: 'The key set of the token issuer cannot be read', zh: '读不到令牌签发方的密钥集' },
    named: [['jwks', 'jwks_unavailable']],
    log: 'failed to refresh the key set, keeping the cached one',
    messages: { en: 'continue over AMQP', zh: 'AMQP 照常' },
    readers: {
      en: 'tokens with a known key are accepted, others get 503; it is retried. If keys are known, only the log names the fault',
      zh: '已知密钥的令牌照常接受，其他返回 503；网关会重试。已有密钥时，只在日志中报告',
    },
    tests: [
      [
        'integration/http/access-tokens.test.ts',
        'that cannot be read at startup are reported by /readyz, and work once they can',
      ],
    ],
  },
  {
    fault: { en: 'A renewed HTTPS certificate is unusable', zh: '更新后的 HTTPS 证书不可用' },
    log: 'TLS certificate reload failed, keeping the current one',
    metric: 'gateway_certificate_expiry_timestamp_seconds',
    messages: CONTINUE,
    readers: { en: 'continue with the previous certificate', zh: '继续使用之前的证书' },
    tests: [['integration/http/tls.test.ts', 'keeps the old pair while the new one is unusable, and logs it once']],
  },
  {
    fault: { en: 'An edge is cut off from its core', zh: '边缘网关与核心网关断开' },
    answer: 'upstream_unreachable',
    metric: 'gateway_upstream_state',
    log: 'no connection to the core',
    messages: {
      en: 'those of the core are copied afterwards, each once; publishing at the edge is refused ([EDGE.md](EDGE.md#when-the-core-is-away))',
      zh: '核心网关的消息之后补上，每条一次；在边缘网关上发布会被拒绝（[边缘网关](EDGE.md#核心网关断开时)）',
    },
    readers: { en: 'continue with what is copied', zh: '用已复制的消息照常提供' },
    tests: [
      [EDGE, 'serve history and report the lag while the core is away, also after a restart, but publish nothing'],
      [EDGE, 'lose and repeat nothing for a reader that moves between them, though both are killed'],
      [
        'unit/upstream/follower.test.ts',
        'continues after its last message when the connection breaks and when it restarts',
      ],
    ],
  },
  {
    fault: { en: 'The clock jumps, while retention is set', zh: '设置了保留策略，而时钟跳变' },
    log: 'retention by age paused for a day because the clock may be wrong',
    messages: { en: 'nothing is deleted by age for a day', zh: '一天之内不按时间删除' },
    readers: CONTINUE,
    tests: [
      [
        'unit/store/retention.test.ts',
        'deletes nothing by age for a day after the clock has jumped forward, and goes on by count',
      ],
      [
        'unit/store/retention.test.ts',
        'deletes nothing by age for a day if at the start even the newest message has expired',
      ],
    ],
  },
  {
    fault: { en: 'The collector of traces refuses or is down', zh: '链路追踪的收集端拒绝或停机' },
    log: 'trace export failed, spans dropped',
    messages: CONTINUE,
    readers: CONTINUE,
    tests: [['resilience/canary.test.ts', 'are in no span, nor in a line on a receiver of spans that refuses']],
  },
  {
    fault: { en: 'An agent is killed, or its disk is full', zh: '智能体被杀死，或它的磁盘已满' },
    messages: {
      en: 'with an outbox nothing is lost whose `send` resolved ([PUBLISHING.md](PUBLISHING.md))',
      zh: '使用 outbox 时，`send` 已完成的消息不会丢失（[发布消息](PUBLISHING.md)）',
    },
    readers: CONTINUE,
    tests: [
      [
        'integration/publisher/outbox.test.ts',
        'an agent that is killed with a full outbox loses no message whose send resolved',
      ],
      ['integration/publisher/outbox.test.ts', 'a full disk refuses messages, and loses none whose send resolved'],
      [
        'integration/publisher/outbox.test.ts',
        'a file that is removed or replaced under the agent is detected, and send rejects from then on',
      ],
      [
        'integration/publisher/python-agent.test.ts',
        'an outbox is emptied after a kill -9 of the agent, and no second agent opens it',
      ],
    ],
  },
  {
    fault: { en: 'Several of these, one after another', zh: '以上多种故障接连发生' },
    messages: {
      en: 'each confirmed message is stored once, or quarantined',
      zh: '每条已确认的消息只存储一次，或进入隔离区',
    },
    readers: {
      en: 'each client receives exactly the messages after its cursor, in order',
      zh: '每个客户端按顺序收到游标之后的所有消息，不多不少',
    },
    tests: [
      ['resilience/soak.test.ts', 'random faults under load lose, double and hide nothing: seed …'],
      [
        'resilience/cluster.test.ts',
        'loses, doubles and hides nothing in … rounds of faults under load, on any host: seed …',
      ],
    ],
  },
]
