import type { WriteScenario } from '../scenario.ts'

/** Data exfiltration through DNS queries. */
export const dnsTunnel: WriteScenario = (random) => {
  const host = random.pick(['lab-nas-2', 'cad-ws-17', 'test-db-5'])
  const ip = random.privateAddress()
  const zone = random.pick(['cdn-telemetry.example', 'ntp-pool-sync.example', 'font-cache.example'])
  const queries = random.integer(41_000, 98_000)
  const megabytes = random.integer(6, 48)
  const server = random.publicAddress()
  return {
    slug: 'dns-exfiltration',
    language: 'en',
    name: `DNS tunnel from ${host}`,
    alert: `${queries} TXT queries below ${zone} from ${host} (${ip}) in two hours, labels of 63 characters, entropy 4.9.`,
    remark: 'It may be the new monitoring agent, its vendor does strange things with DNS. Worth a look.',
    rounds: [
      {
        thought:
          'Volume and entropy speak for a tunnel, the remark for a false alarm. Decode a sample before anything is blocked.',
        work: [
          {
            task: 'Decode a sample of the queries',
            kind: 'query',
            action: 'Decode labels as base32 and look at the content',
            command: 'Decode DNS labels',
            playbook: 'dns_decode',
            params: { zone, sample: 500 },
            result: { encoding: 'base32', magic: '50 4b 03 04', guess: 'ZIP archive in chunks', megabytes },
            reading: `The labels are **base32**; put together they begin with \`50 4b 03 04\`: a **ZIP archive**, about ${megabytes} MB so far.`,
          },
          {
            task: `Find the process on ${host}`,
            kind: 'query',
            action: 'Ask the endpoint for the process behind the queries',
            command: 'Find process',
            playbook: 'edr_process',
            params: { host, port: 53 },
            result: { process: '/usr/local/bin/collectd-helper', user: 'nobody', signed: false, parent: 'cron' },
            reading: '`collectd-helper` is **not** part of collectd. Started by cron, unsigned, two days old.',
          },
        ],
        summary: `### Round 1\n\n- No false alarm: **an archive leaves in pieces**.\n- ${megabytes} MB so far, by an unsigned helper.`,
        suggestion: 'Sinkhole the zone at once; keep the host running for evidence.',
        question: 'Why not switch the host off right away?',
        answer:
          'Because the archive and the key it was packed with are likely still **in memory and on disk**. The sinkhole stops the loss without losing the evidence.',
      },
      {
        thought: 'Stop the loss at the resolver, secure the evidence, find the way in.',
        work: [
          {
            task: `Sinkhole ${zone}`,
            kind: 'write',
            action: 'Answer the zone with the sinkhole on all resolvers',
            command: 'Block domain',
            playbook: 'dns_sinkhole',
            params: { zone },
            result: { resolvers: 6, sinkholed: true },
            reading:
              'All six resolvers answer with the sinkhole. The helper **keeps trying**, so nothing has noticed us.',
          },
          {
            task: 'Secure the evidence',
            kind: 'query',
            action: 'Image memory and the archive',
            command: 'Acquire evidence',
            playbook: 'edr_acquire',
            params: { host, paths: ['/var/tmp/.cache'] },
            result: { error: 'disk of the collector is full (97 %)' },
            reading:
              '**Memory is secured**, the archive is not: the collector ran out of space. The engineer is asked to clear it.',
          },
        ],
        summary: '### Round 2\n\n- The loss has stopped.\n- Memory image secured; archive still to be copied.',
        suggestion: 'Clear the collector, copy the archive, then isolate.',
        question: 'I freed 200 GB on the collector.',
        answer: 'Thank you. The copy is on the list for the next round; it needs about **two minutes**.',
      },
      {
        thought: 'Copy, isolate, and see what was in it: that decides whom we must tell.',
        work: [
          {
            task: 'Copy and open the archive',
            kind: 'query',
            action: 'Acquire the archive and list its content',
            command: 'Acquire evidence',
            playbook: 'edr_acquire',
            params: { host, paths: ['/var/tmp/.cache/a.zip'] },
            result: { files: random.integer(60, 240), kinds: ['.step', '.dwg', '.xlsx'], personal_data: false },
            reading: 'Drawings and parts lists of **last year’s prototype**; no personal data.',
          },
          {
            task: `Isolate ${host}`,
            kind: 'write',
            action: 'Isolate the endpoint',
            command: 'Isolate endpoint',
            playbook: 'edr_isolate',
            params: { host },
            result: { isolated: true },
            reading: `${host} is isolated.`,
          },
          {
            task: 'Inform the owner of the drawings',
            kind: 'notify',
            action: 'Write to engineering and legal',
            command: 'Send notification',
            playbook: 'notify_owner',
            params: { topic: 'prototype drawings', megabytes },
            result: { delivered: 2 },
            reading: 'Engineering and legal have the list of files.',
          },
        ],
        summary: `### Round 3\n\n- Content known: drawings, no personal data.\n- The tunnel’s server ${server} is on the watch list.`,
        suggestion: 'Allow DNS only to our own resolvers; alert on TXT volume per host.',
        question: 'How did the helper get there?',
        answer:
          'By the **update channel of a retired tool**: its domain had lapsed and was registered again last week. All its installations are being removed.',
      },
    ],
    verdict: `The tunnel is closed and its way in is known. ${megabytes} MB of drawings were lost; the owners know which.`,
    closing: `## Report\n\n- **What:** ${queries} queries carried ${megabytes} MB of drawings to ${server}\n- **How:** an update domain that had lapsed\n- **Since:** two days\n\n### To do\n\n1. remove the retired tool everywhere\n2. let only our resolvers ask the world\n3. watch the lapse dates of our own domains`,
  }
}
