import type { WriteScenario } from '../scenario.ts'

/** Preparation of a ransomware attack, detected in time. */
export const ransomware: WriteScenario = (random) => {
  const host = random.pick(['FIN-WS-114', 'HR-WS-031', 'ENG-WS-208'])
  const server = random.pick(['FILE-SRV-03', 'FILE-SRV-01', 'ERP-APP-02'])
  const c2 = random.publicAddress()
  const account = random.pick(['svc-veeam', 'svc-sccm', 'adm-helpdesk3'])
  const shares = random.integer(14, 60)
  const files = random.integer(120, 900)
  const beacon = random.integer(40, 75)
  return {
    slug: 'ransomware-precursor',
    language: 'en',
    name: `Ransomware precursors on ${host}`,
    alert: `${host}: vssadmin deletes shadow copies, then AdFind runs. Beacon to ${c2} every ${beacon} s.`,
    remark: 'This looks like hands on a keyboard. Please be quick, the night backup starts in an hour.',
    rounds: [
      {
        thought: 'Deleted shadow copies come minutes to hours before an encryption. Isolate first and ask afterwards.',
        work: [
          {
            task: `Isolate ${host}`,
            kind: 'write',
            action: 'Isolate the workstation',
            command: 'Isolate endpoint',
            playbook: 'edr_isolate',
            params: { host },
            result: { isolated: true, seconds: random.integer(3, 9) },
            reading: `**${host} is off the network.** The beacon has stopped.`,
          },
          {
            task: `Find all hosts that talk to ${c2}`,
            kind: 'query',
            action: 'Search flows for the command server',
            command: 'Search flows',
            playbook: 'netflow_search',
            params: { dst: c2, window: '72h' },
            result: { hosts: [host, server], first: '26 h ago', bytes_out: random.integer(18, 220) * 1_048_576 },
            reading: `Two hosts talked to ${c2}: **${host}** and **${server}**. Data left the network.`,
          },
          {
            task: `Find out what ${account} did`,
            kind: 'query',
            action: 'Collect logons of the account',
            command: 'Search logons',
            playbook: 'ad_logons',
            params: { account, window: '72h' },
            result: { hosts: 9, unusual: 7, type: 'network, NTLM' },
            reading: `\`${account}\` logged on to **nine** hosts, seven of them for the first time ever: *lateral movement*.`,
          },
        ],
        summary: `### Round 1\n\n- ${host} isolated.\n- **${server} is affected too.**\n- ${account} is in the hands of the intruder.`,
        suggestion: `Isolate ${server} as well, disable ${account}, protect the backups.`,
        question: `If we isolate ${server}, payroll stops. Must it be now?`,
        answer:
          'Yes. With shadow copies gone and an admin account lost, the next step is encryption. An hour without payroll is cheaper than a week without files.',
      },
      {
        thought: 'Take the tools away: account, server, command channel. And put the backups out of reach.',
        work: [
          {
            task: `Isolate ${server}`,
            kind: 'write',
            action: 'Isolate the server',
            command: 'Isolate endpoint',
            playbook: 'edr_isolate',
            params: { host: server, approved_by: 'duty manager' },
            result: { isolated: true, staged_files: files },
            reading: `${server} is isolated. **${files} files** lay staged as \`C:\\PerfLogs\\a.7z\`.`,
          },
          {
            task: `Disable ${account}`,
            kind: 'write',
            action: 'Disable the account and purge its tickets',
            command: 'Disable account',
            playbook: 'ad_disable',
            params: { account, purge_kerberos: true },
            result: { disabled: true, sessions_closed: 9 },
            reading: `\`${account}\` is **disabled**, nine sessions were closed.`,
          },
          {
            task: 'Take the backups offline',
            kind: 'write',
            action: 'Detach the repository and verify the last immutable copy',
            command: 'Protect backups',
            playbook: 'backup_lockdown',
            params: { repository: 'veeam-01' },
            result: { error: 'verification of 1 of 46 restore points timed out' },
            reading: `The repository is detached. **45 of 46** restore points were verified; one timed out and is being retried.`,
          },
        ],
        summary:
          '### Round 2\n\n- Both hosts and the account are out of the intruder’s hands.\n- Backups are detached and, but for one restore point, verified.',
        suggestion: `Hunt for the loader in the ${shares} shares that the account could write to.`,
        question: 'Is the restore point that timed out the one of last night?',
        answer: 'No, it is eleven days old. **Last night’s is verified** and immutable until the 30th.',
      },
      {
        thought: 'Make sure that nothing is left behind, and hand over to recovery.',
        work: [
          {
            task: 'Hunt for persistence',
            kind: 'query',
            action: 'Search tasks, services and run keys on the nine hosts',
            command: 'Hunt persistence',
            playbook: 'edr_hunt_persistence',
            params: { hosts: 9 },
            result: { scheduled_tasks: 1, services: 1, removed: 2 },
            reading: 'One scheduled task and one service, both named **“OneDrive Standalone Update”**, were removed.',
          },
          {
            task: 'Hand over to recovery',
            kind: 'notify',
            action: 'Open the recovery bridge and attach the evidence',
            command: 'Open bridge',
            playbook: 'open_bridge',
            params: { severity: 1, hosts: 2 },
            result: { bridge: `BR-${random.integer(300, 999)}`, joined: 6 },
            reading: 'Recovery has taken over; six people are on the bridge.',
          },
        ],
        summary: '### Round 3\n\n- Persistence removed.\n- Recovery rebuilds both hosts from verified images.',
        suggestion: 'Tier the admin accounts; forbid NTLM for service accounts.',
        question: 'What do we tell the staff?',
        answer: `Something like: *“We took ${server} offline as a precaution. Files are safe. Expect it back at noon.”* No technical details while the investigation runs.`,
      },
    ],
    verdict:
      'The attack was stopped before the encryption. Two hosts are being rebuilt, the account is disabled, backups are safe.',
    closing: `## Report\n\n- **Entry:** macro on ${host}, 26 hours before the alert\n- **Movement:** \`${account}\` over NTLM to nine hosts\n- **Loss:** up to ${files} staged files; ${c2} received part of them\n- **Not lost:** backups\n\n\`\`\`\nvssadmin delete shadows /all /quiet   <- the alert that saved the night\n\`\`\``,
  }
}
