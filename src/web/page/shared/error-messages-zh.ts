import { language } from './i18n.ts'

/** Chinese titles and hints of the error codes that a page can show. The gateway sends the English ones. */
const CHINESE: Readonly<Record<string, readonly [title: string, hint: string]>> = {
  body_too_large: ['消息体过大', '请发送更小的消息，或调高 MAX_MESSAGE_BYTES。'],
  unsupported_content_encoding: ['不支持的压缩格式', '请直接发送消息体，或用 gzip 或 deflate 压缩。'],
  invalid_content_encoding: ['无法解压', '消息体必须使用它所声明的压缩格式；deflate 指 zlib 格式。'],
  invalid_utf8: ['不是有效的 UTF-8', '请以 UTF-8 编码消息体。'],
  invalid_json: ['不是有效的 JSON', '请发送严格的 JSON：不含 NaN、Infinity、注释和字节顺序标记。'],
  not_an_object: ['不是 JSON 对象', '请发送一个 JSON 对象，消息字段位于顶层。'],
  invalid_event_id: ['event_id 无效', 'event_id 为 1 至 255 个字符，不含控制字符，且不是 . 或 ..。'],
  invalid_message_id: ['message_id 无效', 'message_id 为 1 至 255 个字符的字符串，或省略。'],
  invalid_message_from: ['message_from 无效', 'message_from（或 source）为字符串、null 或省略。'],
  invalid_message_type: ['message_type 无效', 'message_type（或 type）为字符串、null 或省略。'],
  invalid_round_id: ['round_id 无效', 'round_id 为 ±(2^53-1) 以内的整数、1 到 15 位数字的字符串、null 或省略。'],
  event_mismatch: ['event_id 不一致', '请去掉消息体中的 event_id，或使其与路径中的一致。'],
  message_conflict: [
    '消息冲突',
    '该事件中已有 message_id 相同但内容不同的消息，以先收到的为准。请使用新的 message_id。',
  ],
  message_unstorable: ['数据库无法保存该消息', '原因见详情。请修改消息。'],
  invalid_query: ['查询参数无效', '该接口的参数见 docs/PROTOCOL.md。'],
  invalid_path: ['路径无效', '请将路径按 UTF-8 进行百分号编码。'],
  search_disabled: ['搜索已关闭', '请从网关配置中去掉 SEARCH=off。'],
  empty_batch: ['批次为空', '请至少发送一条消息。'],
  batch_too_large: ['批次过大', '每个请求最多发送 1,000 条消息。'],
  too_many_events: ['订阅的事件过多', '一个流最多订阅 100 个事件，或使用 event_id=*。'],
  pipelining_unsupported: ['不支持管线化', '请为流使用单独的连接，或等待之前的响应完成。'],
  malformed_request: ['请求格式错误', '该请求不是有效的 HTTP/1.1。请检查客户端，或网关前面的代理。'],
  headers_too_large: ['请求头过大', '请求行和请求头合计最多 16 KiB：请缩短 URL、请求头或 Cookie。'],
  request_timeout: ['请求超时', '请求未在时限内到达，请重新发送。'],
  request_aborted: ['请求中断', '客户端在发完消息体之前关闭了连接，请重新发送。'],
  origin_forbidden: ['来源不被允许', '其他来源的页面无权执行此操作。请从同源页面调用，或将该来源加入 CORS_ORIGINS。'],
  host_forbidden: [
    '主机名不被允许',
    '未启用认证时，为防止 DNS 重绑定，网关只接受 IP 地址和 localhost。请改用 IP 地址或 localhost，或将主机名加入 ALLOWED_HOSTS，或配置令牌密钥。',
  ],
  url_too_long: ['URL 过长', 'URL 最长 8,192 字节：请减少事件或过滤条件。'],
  token_missing: [
    '缺少令牌',
    '请通过 Authorization: Bearer … 或 Cookie 发送令牌。流还可在 ?ticket= 中使用 POST /api/stream-tickets 签发的票据。',
  ],
  token_invalid: ['令牌无效', '请向签发方获取新的令牌。'],
  token_expired: ['令牌已过期', '请更新令牌后重新连接，流会从上次的 Last-Event-ID 之后继续。'],
  token_revoked: ['令牌已被吊销', '该主体的令牌已被吊销。请重新登录，之后签发的令牌可以使用。'],
  token_in_query: [
    '令牌不能放在 URL 中',
    'URL 会留在日志和历史记录里，请将该令牌视为已泄露。请用 Authorization: Bearer … 发送令牌，或通过 POST /api/stream-tickets 换取票据。',
  ],
  ticket_invalid: ['票据无效', '票据只能使用一次，有效期 30 秒。请通过 POST /api/stream-tickets 重新获取。'],
  event_forbidden: ['无权访问该事件', '令牌的 events 声明必须列出请求中的每个事件，或者是表示全部的文本 *。'],
  scope_missing: ['权限范围不足', '令牌的 scope 声明中缺少此操作所需的 publish、chat 或 admin。'],
  chat_forbidden: ['不能这样发言', '请用 message_type chat 或 user_message 发送，并使用 sub 为人名的令牌。'],
  jwks_unavailable: ['密钥集不可用', '请检查 JWT_JWKS_URL：无法读取密钥集，暂时无法校验令牌。网关会继续重试。'],
  invalid_revocation: ['吊销请求无效', '请发送 {"sub": …}；issued_before 和 until 为可选的 ISO 8601 时间。'],
  too_many_streams: ['流过多', '请关闭不用的流，在一个流上订阅多个事件，或调高相应的上限。'],
  rate_limited: ['发布过快', '请放慢发布速度，或调高 PUBLISH_RATE 和 PUBLISH_BURST。'],
  too_many_tickets: ['票据过多', '请使用已签发的票据，或等待它们过期。'],
  overloaded: ['网关过载', '网关用于请求的内存已达上限。请在 Retry-After 指定的时间后重试。'],
  not_found: ['不存在', '可用的路由见 docs/PROTOCOL.md。'],
  method_not_allowed: ['方法不被允许', '该路由支持的方法见 Allow 响应头。'],
  internal: ['内部错误', '这是网关自身的缺陷。请用 request_id 在其日志中查找并报告。'],
  shutting_down: ['正在停止', '网关正在停止，请稍后重试。'],
  too_many_connections: ['连接数已达上限', '请调高 MAX_CONNECTIONS，或找出占着空闲连接的客户端。'],
  too_many_open_files: ['打开的文件过多', '请调高 LimitNOFILE 或 ulimit -n，或找出占着空闲连接的客户端。'],
  worker_unresponsive: ['工作进程没有响应', '该工作进程在 WORKER_TIMEOUT_SECONDS 之后会被强制终止，并由新进程替换。'],
  not_ready: ['尚未就绪', '响应中的 faults 列出了出错的组件。'],
  storage_unavailable: ['存储不可用', '请检查原因：磁盘空间、权限以及磁盘本身。'],
  storage_busy: ['数据库被占用', '另一个进程持有数据库的写锁。网关会继续重试。'],
  database_replaced: [
    '数据库文件丢失',
    '数据库的某个文件在使用中被删除、替换或截断。请停掉造成此事的任务，按原因中的说明处理，然后重启网关。',
  ],
  database_newer: ['数据库版本较新', '该数据库由更新版本的网关写入。请升级网关，或恢复备份。'],
  database_upgrade_failed: ['数据库升级失败', '数据库未被改动，旧版本的网关仍可使用。请排除原因后重新启动。'],
  database_not_ours: ['数据库属于其他应用', '请将 DATABASE_URL 指向其他数据库。'],
  database_corrupt: ['数据库已损坏', '请停止网关，检查磁盘，然后从备份恢复：docs/zh/OPERATIONS.md。'],
  database_open_failed: ['无法打开数据库', '请检查 DATABASE_URL 的路径、目录和权限。'],
  database_stale_wal: [
    'WAL 文件不匹配',
    '请删除已恢复备份旁边的 -wal 和 -shm 文件，或将其移到所属数据库旁，然后重新启动。',
  ],
  database_is_backup: ['该文件是备份', '请先用它启动一次网关；如需保留备份，请用其副本启动。'],
  database_moved: ['数据库已迁移', '请把 DATABASE_URL 设为迁移到的数据库。'],
  database_incomplete: ['数据库迁移未完成', '请再次运行 migrate，它会继续；或删除目标数据库。'],
  database_target_used: ['目标数据库已被使用', '请指定一个不存在的目标，或删除其中的内容。'],
  database_copy_differs: ['副本与源数据库不同', '源数据库没有改变。请删除目标数据库，重新开始。'],
  database_is_copy: [
    '数据库是边缘网关的副本',
    '请照旧设置 UPSTREAM_URL。要脱离核心网关保留这些消息，请备份后恢复，恢复出来的是独立的数据库。',
  ],
  database_not_copy: ['数据库不是副本', '请将 DATABASE_URL 指向单独的文件：边缘网关会用核心网关的消息替换其中的内容。'],
  upstream_unreachable: [
    '无法连接核心网关',
    '请检查 UPSTREAM_URL、核心网关是否运行以及两者之间的网络。期间历史消息照常可读，但不能发布。网关会继续重试。',
  ],
  upstream_certificate_untrusted: [
    '核心网关的证书不受信任',
    '请将 NODE_EXTRA_CA_CERTS 设为签发该证书的 CA 证书，并使用证书中包含的主机名。网关会继续重试。',
  ],
  upstream_refused: [
    '核心网关拒绝访问',
    '请检查 UPSTREAM_TOKEN：核心网关必须接受它，它要有 scope edge 和 UPSTREAM_EVENTS 的全部事件。网关会继续重试。',
  ],
  upstream_cycle: [
    '边缘网关跟随了自己',
    'UPSTREAM_URL 直接或经由其他边缘网关指回本网关。请改为存储消息的网关，或它的边缘网关。网关会继续重试。',
  ],
  upstream_incompatible: [
    '核心网关不兼容',
    '请把核心网关升级到提供 GET /api/edge 的版本，并检查 UPSTREAM_URL 是否为网关的地址，包括它的 BASE_PATH。网关会继续重试。',
  ],
  upstream_copying: ['首次复制尚未完成', '核心网关的消息还没有全部复制过来，已复制的部分照常提供。'],
  database_unreachable: [
    '无法连接数据库',
    '请检查 DATABASE_URL、PostgreSQL 是否运行以及端口是否开放。网关会继续重试。',
  ],
  database_auth_failed: [
    '数据库认证失败',
    '请检查 DATABASE_URL 中的用户名和密码，以及 PostgreSQL 的 pg_hba.conf。网关会继续重试。',
  ],
  database_not_found: [
    '数据库不存在',
    '请创建 DATABASE_URL 指定的数据库：createdb --encoding=UTF8 --template=template0 NAME。网关会继续重试。',
  ],
  database_access_refused: [
    '数据库拒绝访问',
    '请将 DATABASE_URL 的用户设为该 schema 及其中表的所有者。网关会继续重试。',
  ],
  database_read_only: [
    '数据库只读',
    '该服务器是备库或处于只读状态。请将其提升为主库，或在 DATABASE_URL 中指定主库。网关会继续重试。',
  ],
  database_old_timeline: [
    '旧的 PostgreSQL 主库',
    '该服务器是故障切换之前的主库，又运行起来了。请停掉它，用 pg_rewind 将其重建为新主库的备库。网关会继续重试。',
  ],
  database_standby_unavailable: [
    '提交在等待同步备库',
    '请启动备库，检查它的复制，或修改 synchronous_standby_names。网关会继续重试。',
  ],
  database_full: ['数据库磁盘已满', '请释放 PostgreSQL 服务器的磁盘空间。网关会继续重试。'],
  database_too_many_connections: [
    '数据库连接已用尽',
    '请调高 PostgreSQL 的 max_connections，或调低 DATABASE_POOL_SIZE。网关会继续重试。',
  ],
  database_tls_failed: [
    '数据库 TLS 失败',
    '请对照 PostgreSQL 的配置检查 DATABASE_URL 中的 sslmode、sslrootcert、sslcert 和 sslkey。网关会继续重试。',
  ],
  database_unsuitable: [
    '数据库不符合要求',
    '需要 PostgreSQL 12 或更新版本、UTF8 编码的数据库，并开启 synchronous_commit。',
  ],
  broker_unreachable: ['无法连接消息代理', '请检查 RABBITMQ_URL、RabbitMQ 是否运行以及端口是否开放。网关会继续重试。'],
  broker_auth_failed: ['消息代理认证失败', '请检查 RABBITMQ_URL 中的用户名和密码。网关会继续重试。'],
  broker_vhost_missing: [
    'vhost 不存在',
    '请创建该 vhost 并授权：rabbitmqctl add_vhost、set_permissions。网关会继续重试。',
  ],
  broker_precondition_failed: [
    '声明冲突',
    '已有同名但参数不同的队列或交换机。请在其清空后删除，或改用其他名称。网关会继续重试。',
  ],
  broker_ack_timeout: [
    '确认超时',
    'RabbitMQ 因消息未在 consumer_timeout 内确认而关闭了信道，这些消息会重新投递。请检查存储；若 consumer_timeout 短于一次提交所需的时间，请调大。网关会继续重试。',
  ],
  broker_access_refused: [
    '消息代理拒绝访问',
    '请授予该用户对交换机和队列的 configure、write、read 权限。网关会继续重试。',
  ],
  broker_certificate_untrusted: [
    '消息代理证书不受信任',
    '请将 RABBITMQ_CA_FILE 设为其签发机构的证书，并确认证书在有效期内。网关会继续重试。',
  ],
  broker_certificate_name: [
    '消息代理证书名称不符',
    '请在 RABBITMQ_URL 中使用证书上的名称，或重新签发证书。网关会继续重试。',
  ],
  broker_client_certificate: [
    '消息代理要求客户端证书',
    '请设置 RABBITMQ_CERT_FILE 和 RABBITMQ_KEY_FILE。网关会继续重试。',
  ],
  broker_tls_failed: [
    'TLS 失败',
    '请检查 RABBITMQ_URL 的端口是否为 TLS 端口（通常为 5671），以及证书文件。网关会继续重试。',
  ],
  broker_error: ['消息代理错误', 'RabbitMQ 报告了错误，原因为其原文。网关会继续重试。'],
  broker_blocked: ['消息代理已阻塞', 'RabbitMQ 触发了内存或磁盘告警，不再接收消息。请在其服务器上释放内存或磁盘空间。'],
  publish_unroutable: ['消息无法路由', '没有队列绑定该路由键。请检查 RABBITMQ_BINDING 和队列。'],
  publish_nacked: ['消息代理拒绝消息', 'RabbitMQ 拒绝了该消息。请使用相同的 message_id 重新发送。'],
  publish_confirm_timeout: ['确认超时', 'RabbitMQ 未在时限内确认，消息可能已入队。请使用相同的 message_id 重新发送。'],
}

const CHINESE_COMPONENTS: Readonly<Record<string, string>> = {
  consumer: '消费者',
  publisher: '发布者',
  workers: '工作进程',
  connections: '连接',
  store_write: '存储（写）',
  store_read: '存储（读）',
  jwks: '令牌密钥集',
  upstream: '核心网关',
  gateway: '网关',
}

const inChinese = (code: string): readonly [string, string] | undefined =>
  language.get() === 'zh' && Object.hasOwn(CHINESE, code) ? CHINESE[code] : undefined

/** Returns the hint of an error code in the language of the page. @param hint the English one from the gateway */
export const errorHint = (code: string, hint: string): string => inChinese(code)?.[1] ?? hint

/** Returns the title of an error code in Chinese; empty on an English page, where the code itself is readable. */
export const errorTitle = (code: string): string => inChinese(code)?.[0] ?? ''

/** Returns the name of a `/readyz` component in the language of the page. */
export const componentName = (component: string): string =>
  language.get() === 'zh' && Object.hasOwn(CHINESE_COMPONENTS, component) ? CHINESE_COMPONENTS[component]! : component
