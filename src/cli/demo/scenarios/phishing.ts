import type { WriteScenario } from '../scenario.ts'

/** A phishing mail steals a password and a session; the mailbox is used for fraud. */
export const phishing: WriteScenario = (random) => {
  const [name, login] = random.pick([
    ['Maria Lindqvist', 'm.lindqvist'],
    ['Tomás Herrera', 't.herrera'],
    ['Aiko Watanabe', 'a.watanabe'],
    ['Jonas Keller', 'j.keller'],
  ] as const)
  const mail = `${login}@example.com`
  const domain = random.pick(['micros0ft-login.example', 'docusign-secure.example', 'sharepoint-files.example'])
  const src = random.publicAddress()
  const recipients = random.integer(37, 140)
  const clicked = random.integer(2, 6)
  const amount = `${random.integer(38, 94)},${random.integer(100, 999)}.00 EUR`
  return {
    slug: 'phishing-mailbox',
    language: 'en',
    name: `Mailbox of ${name} taken over`,
    alert: `Impossible travel for ${mail}: Lyon and, 11 minutes later, ${src}. A forwarding rule was made from the second place.`,
    remark: `${name} works in accounts payable. She called: a supplier asks about changed bank details that she never sent.`,
    rounds: [
      {
        thought:
          'A session was stolen and is used for invoice fraud. Cut the session, then find out how it was stolen and who else clicked.',
        work: [
          {
            task: `End all sessions of ${mail}`,
            kind: 'write',
            action: 'Revoke tokens and force a new login with a second factor',
            command: 'Revoke sessions',
            playbook: 'idp_revoke',
            params: { user: mail },
            result: { revoked: random.integer(3, 7), mfa: 'reset', password: 'expired' },
            reading: `All tokens of **${mail}** are void; the next login needs a new password and a new second factor.`,
          },
          {
            task: 'Find the rules and mails that the intruder made',
            kind: 'query',
            action: 'Audit the mailbox',
            command: 'Audit mailbox',
            playbook: 'mailbox_audit',
            params: { user: mail, window: '7d' },
            result: {
              rules: [{ name: '.', moves: 'invoice|bank|iban', to: 'RSS Feeds' }],
              sent: [{ subject: 'Updated bank details', recipients: 3 }],
            },
            reading: `### Mailbox\n\n- a rule named \`.\` hides every answer about **invoices** in *RSS Feeds*\n- three suppliers got “Updated bank details”`,
          },
        ],
        summary:
          '### Round 1\n\n- Sessions revoked.\n- **Invoice fraud is under way:** three suppliers were written to.\n- The rule that hid the answers is known.',
        suggestion: 'Warn the suppliers by telephone, find the mail that started it, and everybody else who got it.',
        question: 'Should we answer the suppliers by mail from her account?',
        answer:
          '**No.** Use the telephone numbers in the contracts, not those in recent mails. I can draft what to say.',
      },
      {
        thought: 'Now the root: the mail, its recipients, and those who gave their password away.',
        work: [
          {
            task: `Find every mail that links to ${domain}`,
            kind: 'query',
            action: 'Search the mail gateway for the domain',
            command: 'Search mails',
            playbook: 'mail_search',
            params: { domain, window: '14d' },
            result: { recipients, clicked, reported: 1 },
            reading: `**${recipients}** people got the mail, **${clicked}** clicked, one reported it.`,
          },
          {
            task: 'Withdraw the mails',
            kind: 'write',
            action: 'Purge the mails from all mailboxes',
            command: 'Purge mails',
            playbook: 'mail_purge',
            params: { domain },
            result: { purged: recipients - 2, failed: 2 },
            reading: `All but **two** mails were withdrawn; two mailboxes are on hold for legal reasons and were marked instead.`,
          },
          {
            task: `Block ${domain}`,
            kind: 'write',
            action: 'Block the domain in DNS and at the proxy',
            command: 'Block domain',
            playbook: 'dns_sinkhole',
            params: { domain },
            result: { sinkholed: true, proxies: 4 },
            reading: `\`${domain}\` leads to the sinkhole from now on.`,
          },
        ],
        summary: `### Round 2\n\n- ${recipients} mails, ${clicked} clicks.\n- Mails withdrawn, domain blocked.`,
        suggestion: 'Treat those who clicked as if their password were known.',
        question: `Do we know whether those ${clicked} typed in their password?`,
        answer:
          'The proxy saw a POST to the page from **all but one** of them. I would reset all; the one may have used a telephone.',
      },
      {
        thought: 'Close the gaps: accounts of those who clicked, the payment, the report.',
        work: [
          {
            task: 'Reset the accounts of those who clicked',
            kind: 'write',
            action: 'Expire passwords and revoke tokens in bulk',
            command: 'Reset accounts',
            playbook: 'idp_bulk_reset',
            params: { users: clicked },
            result: { reset: clicked, strange_logins: 0 },
            reading: `**${clicked}** accounts reset. None of them was used from elsewhere.`,
          },
          {
            task: 'Stop the payment',
            kind: 'notify',
            action: 'Ask treasury and the bank to recall the transfer',
            command: 'Call treasury',
            playbook: 'notify_treasury',
            params: { amount, reference: `TR-${random.integer(7_000, 9_999)}` },
            result: { recalled: true, amount },
            reading: `The bank has **recalled ${amount}** before it was booked.`,
          },
        ],
        summary: '### Round 3\n\n- No further account was misused.\n- The one payment that had left was recalled.',
        suggestion: 'Passkeys for finance first; a banner on mails that speak of changed bank details.',
        question: 'Do we have to report this?',
        answer:
          'Personal data was in the mailbox, so the privacy officer decides **within 72 hours** of noticing. I have put the facts into one page for her.',
      },
    ],
    verdict: `The intruder is out, ${clicked} accounts are clean again, the payment was recalled and the suppliers know.`,
    closing: `## Report\n\n1. A mail with a link to \`${domain}\` reached ${recipients} people.\n2. A proxy page stole password **and session** of ${name}.\n3. The mailbox was used for *invoice fraud*; ${amount} were recalled in time.\n\n> Multi-factor login did not help: the session was stolen after it. **Passkeys** would have.`,
  }
}
