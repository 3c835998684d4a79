import { language } from '../shared/i18n.ts'

/** What a code of the gateway means, and what to do about it: `[title, hint]`. English comes with the answers. */
const CHINESE: Readonly<Record<string, readonly [title: string, hint: string]>> = {
  body_too_large: ['消息体过大', '发送更小的消息，或调高 MAX_MESSAGE_BYTES。'],
  invalid_utf8: ['不是有效的 UTF-8', '请以 UTF-8 编码消息体。'],
  invalid_json: ['不是有效的 JSON', '请发送严格的 JSON：不含 NaN、Infinity、注释和字节顺序标记。'],
  not_an_object: ['不是 JSON 对象', '请发送一个 JSON 对象，消息字段位于顶层。'],
  invalid_event_id: ['event_id 无效', 'event_id 为 1 至 255 个字符的字符串，不含控制字符。'],
  invalid_message_id: ['message_id 无效', 'message_id 为 1 至 255 个字符的字符串，或省略。'],
  invalid_message_from: ['message_from 无效', 'message_from（或 source）为字符串、null 或省略。'],
  invalid_message_type: ['message_type 无效', 'message_type（或 type）为字符串、null 或省略。'],
  invalid_round_id: ['round_id 无效', 'round_id 为 ±(2^53-1) 以内的整数、null 或省略。'],
  message_conflict: ['消息冲突', '该事件中已有相同 message_id 而内容不同的消息，以先到者为准。请使用新的 message_id。'],
  message_unstorable: ['存储拒绝该消息', '存储无法保存这一条消息，原因见详情。请修改消息。'],
  internal: ['内部错误', '网关自身的错误。请在其日志中查找并报告。'],
  shutting_down: ['正在停止', '网关正在停止，请稍后重试。'],
  jwks_unavailable: ['密钥集不可用', '无法读取 JWT_JWKS_URL 的密钥集，暂时无法校验令牌。网关会继续重试。'],
  storage_unavailable: ['存储不可用', '请查看原因：磁盘空间、权限以及磁盘本身。'],
  storage_busy: ['数据库被占用', '另一个进程持有数据库的写锁。网关会继续重试。'],
  database_replaced: ['数据库文件丢失', '数据库文件在使用中被删除或替换。请从备份恢复或重新开始，然后重启网关。'],
  broker_unreachable: ['无法连接消息代理', '请检查 RABBITMQ_URL、RabbitMQ 是否运行以及端口是否开放。网关会继续重试。'],
  broker_auth_failed: ['消息代理拒绝登录', '请检查 RabbitMQ 的用户名和密码。网关会继续重试。'],
  broker_vhost_missing: [
    'vhost 不存在',
    '请创建该 vhost 并授权：rabbitmqctl add_vhost、set_permissions。网关会继续重试。',
  ],
  broker_precondition_failed: [
    '声明冲突',
    '已有同名但参数不同的队列或交换机。请在其清空后删除，或改用其他名称。网关会继续重试。',
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
  broker_blocked: ['消息代理已阻塞', 'RabbitMQ 触发了内存或磁盘告警，不再接收消息。请在其上释放内存或磁盘。'],
}

const CHINESE_COMPONENTS: Readonly<Record<string, string>> = {
  consumer: '消费者',
  publisher: '发布者',
  storage: '存储（写）',
  log: '日志库（读）',
  keys: '令牌密钥',
  gateway: '网关',
}

const inChinese = (code: string): readonly [string, string] | undefined =>
  language.get() === 'zh' && Object.hasOwn(CHINESE, code) ? CHINESE[code] : undefined

/** What to do about a code, in the language of the page where it is known. */
export const errorHint = (code: string, hint: string): string => inChinese(code)?.[1] ?? hint

/** What stands beside a code for who does not read English; nothing for who does. */
export const errorTitle = (code: string): string => inChinese(code)?.[0] ?? ''

/** The name of a part of the gateway. */
export const componentName = (component: string): string =>
  language.get() === 'zh' && Object.hasOwn(CHINESE_COMPONENTS, component) ? CHINESE_COMPONENTS[component]! : component
