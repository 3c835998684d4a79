/** Masks what can be secret in a URL, or in a text that was meant as one: everything before the last @ may be part of a password. */
export const redactUrl = (text: string): string =>
  text.replace(/^([\w+.-]+:\/\/)?.*@/s, '$1***@').replace(/[?#].*$/s, '?***')
