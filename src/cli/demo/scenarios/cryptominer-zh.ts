import type { WriteScenario } from '../scenario.ts'

/** A cryptominer in the container platform, in Chinese. */
export const cryptominer: WriteScenario = (random) => {
  const node = random.pick(['k8s-node-05', 'k8s-node-11', 'k8s-node-23'])
  const ip = random.privateAddress()
  const pool = random.publicAddress()
  const image = random.pick(['registry.local/tools/nginx-debug', 'registry.local/base/alpine-utils'])
  const pods = random.integer(3, 8)
  const cpu = random.integer(91, 99)
  return {
    slug: 'cryptominer',
    language: 'zh',
    name: `${node} 挖矿木马`,
    alert: `${node}（${ip}）CPU 持续 ${cpu}%，向 ${pool}:3333 发起 stratum 连接，疑似门罗币挖矿。`,
    remark: '业务反馈该节点上的订单服务变慢，请优先处理，注意不要影响白天的交易。',
    rounds: [
      {
        thought: '先确认外联地址与进程归属，再决定隔离范围。\n不要直接重启节点，以免丢失证据。',
        work: [
          {
            task: `查询 ${pool} 的威胁情报`,
            kind: 'query',
            action: '剧本查询外联地址情报',
            command: '查情报',
            playbook: 'ip_threat_intel',
            params: { dst: pool },
            result: { verdict: '恶意', tags: ['矿池', 'Monero'], score: random.integer(90, 99) },
            reading: `**${pool} 是已知矿池**\n\n- 标签：Monero\n- 近 30 天被多家厂商标记`,
          },
          {
            task: `定位 ${node} 上的可疑进程`,
            kind: 'query',
            action: '采集节点进程与容器信息',
            command: '查进程',
            playbook: 'cwpp_process',
            params: { node, top: 20 },
            result: { process: 'kworkerds', container: image, pods, privileged: true },
            reading: `进程 \`kworkerds\` 来自镜像 \`${image}\`，共 **${pods}** 个 Pod，且以**特权模式**运行。`,
          },
        ],
        summary: `### 第一轮总结\n\n- 外联地址为矿池\n- 恶意进程来自内部镜像，**供应链可能被污染**\n- 影响 ${pods} 个 Pod`,
        suggestion: '封禁矿池地址，下线恶意 Pod，并排查镜像来源。',
        question: '订单服务和恶意 Pod 在同一个节点上，驱逐会不会影响交易？',
        answer: '订单服务有 **3 个副本**分布在其他节点。建议先给该节点打污点，只驱逐恶意 Pod，订单服务不受影响。',
      },
      {
        thought: '现在止损：封禁、清除、冻结镜像，全部在不重启节点的前提下完成。',
        work: [
          {
            task: `封禁 ${pool}`,
            kind: 'write',
            action: '在出口防火墙封禁矿池地址',
            command: '封禁地址',
            playbook: 'firewall_block',
            params: { dst: pool, hours: 720 },
            result: { blocked: true, devices: 2 },
            reading: '两台出口防火墙均已生效，连接已**中断**。',
          },
          {
            task: '清除恶意 Pod',
            kind: 'write',
            action: '隔离节点并删除恶意 Pod',
            command: '清除 Pod',
            playbook: 'k8s_evict',
            params: { node, image, pods },
            result: { deleted: pods, recreated: 2, error: '发现 DaemonSet 自动重建，2 个 Pod 复活' },
            reading: '**未清除干净**：恶意 DaemonSet `node-tuner` 会重建 Pod，需要先删除它。',
          },
        ],
        summary: '### 第二轮总结\n\n- 外联已阻断\n- 发现**持久化**：恶意 DaemonSet `node-tuner`',
        suggestion: '删除 DaemonSet，吊销其服务账号，再次清除。',
        question: '这个 DaemonSet 是谁创建的？',
        answer: '审计日志显示由服务账号 `ci-deployer` 创建，来源是 **CI 机器**。该令牌三天前曾出现在一条构建日志里。',
      },
      {
        thought: '斩草除根：删除持久化、吊销令牌、扫描全部镜像。',
        work: [
          {
            task: '删除 DaemonSet 并吊销令牌',
            kind: 'write',
            action: '清除持久化并轮换凭据',
            command: '清除持久化',
            playbook: 'k8s_remediate',
            params: { daemonset: 'node-tuner', account: 'ci-deployer' },
            result: { removed: true, token: '已轮换', pods_left: 0 },
            reading: 'DaemonSet 已删除，令牌已轮换，恶意 Pod **归零**，CPU 恢复正常。',
          },
          {
            task: '扫描镜像仓库',
            kind: 'query',
            action: '按哈希扫描全部镜像',
            command: '扫描镜像',
            playbook: 'registry_scan',
            params: { sha256: random.hex(64) },
            result: { images: random.integer(800, 1_900), hits: 1 },
            reading: `全库仅 \`${image}\` **一处命中**，已冻结。`,
          },
          {
            task: '通知业务与平台团队',
            kind: 'notify',
            action: '发送处置通报',
            command: '发通知',
            playbook: 'notify_owner',
            params: { groups: ['订单业务', '容器平台'] },
            result: { delivered: 2 },
            reading: '两个团队均已收到通报。',
          },
        ],
        summary: '### 第三轮总结\n\n- 持久化已清除\n- 仓库仅一处命中并已冻结\n- 相关团队已知悉',
        suggestion: '禁止特权容器；令牌不得写入构建日志；镜像须签名。',
        question: '可以恢复该节点调度了吗？',
        answer: '可以。进程、外联与镜像三项复查均为**正常**，建议观察 24 小时。',
      },
    ],
    verdict: '挖矿木马已清除，入口（泄露的 CI 令牌）已封堵，业务未受影响。',
    closing: `## 事件报告\n\n| 项目 | 结论 |\n| --- | --- |\n| 入口 | CI 令牌泄露 |\n| 影响 | ${node}，${pods} 个 Pod |\n| 外联 | ${pool} |\n| 现状 | 已清除 |\n\n**改进建议**：禁用特权容器、镜像签名、令牌短期有效。`,
  }
}
