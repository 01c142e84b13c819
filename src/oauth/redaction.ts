import { base64, base64url } from '../util/index.ts'

/** Parameters whose values are public, so that a message may repeat them. */
const PUBLIC_PARAMETERS: ReadonlySet<string> = new Set([
  'grant_type',
  'scope',
  'resource',
  'audience',
  'client_id',
  'client_assertion_type',
  'token_type_hint',
])
/** Headers that prove something beside `Authorization`. */
const PROOF_HEADERS = ['oauth-client-attestation', 'oauth-client-attestation-pop', 'dpop']
/** Shorter texts would blot out ordinary words. */
const MIN_SECRET_LENGTH = 4
/** Of what a server quotes and cuts, so much or more is recognised. */
const PREFIX_LENGTH = 16
const MAX_TEXT_LENGTH = 200
const REDACTED = '[redacted]'

/** The secrets of one request, in the forms in which a server may quote them. */
export function secretsOf(body: URLSearchParams, headers: Headers): readonly string[] {
  const secrets: string[] = []
  for (const [name, value] of body) if (!PUBLIC_PARAMETERS.has(name)) secrets.push(value)
  for (const name of PROOF_HEADERS) secrets.push(headers.get(name) ?? '')
  const credentials = headers.get('authorization')?.replace(/^\S+ /, '')
  if (credentials !== undefined) secrets.push(credentials, ...basicPassword(credentials))
  return secretForms(secrets)
}

/** The forms in which a server may quote secrets, longest first. */
export function secretForms(secrets: readonly string[]): readonly string[] {
  return secrets
    .filter((secret) => secret.length >= MIN_SECRET_LENGTH)
    .flatMap(formsOf)
    .sort((a, b) => b.length - a.length)
}

function formsOf(secret: string): readonly string[] {
  const quoted = JSON.stringify(secret).slice(1, -1)
  return [
    secret,
    quoted,
    encodeURIComponent(secret),
    formEncoded(secret),
    base64(secret),
    base64url(secret),
    hex(secret),
  ]
}

function hex(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function formEncoded(value: string): string {
  return new URLSearchParams({ v: value }).toString().slice(2)
}

/** The client secret inside `Authorization: Basic`, as it was encoded and as it may have been before. */
function basicPassword(credentials: string): readonly string[] {
  let pair: string
  try {
    pair = new TextDecoder().decode(Uint8Array.from(atob(credentials), (character) => character.charCodeAt(0)))
  } catch {
    return []
  }
  // A client id that was joined raw may have colons of its own: every split is a candidate.
  const parts = pair.split(':')
  const passwords = parts.slice(1).map((_, at) => parts.slice(at + 1).join(':'))
  return passwords.flatMap((password) => [password, formDecoded(password)])
}

function formDecoded(text: string): string {
  return new URLSearchParams(`v=${text.replaceAll('&', '%26')}`).get('v') ?? text
}

/** Text from a server, fit to be shown: short, printable, and without the secrets of the request that it answers. */
export function presentable(text: string, secrets: readonly string[]): string {
  let shown = text
  for (const secret of secrets) shown = withoutText(shown, secret)
  shown = withoutBeginnings(shown, secrets)
  // Control characters could forge log lines or drive a terminal; RFC 6749 allows none here.
  shown = shown.replace(/[^\x20-\x7e\u00a0-\u2027\u202f-\u2065\u2070-\ud7ff\ue000-\ufffd]+/g, ' ').trim()
  return shown.length > MAX_TEXT_LENGTH ? `${shown.slice(0, MAX_TEXT_LENGTH)}…` : shown
}

/** Without a text, in whatever case it is written. One pass, however often it occurs. */
function withoutText(text: string, secret: string): string {
  const small = secret.toLowerCase()
  const lowered = text.toLowerCase()
  // Characters that change their length with their case are rare in secrets; exact matches are still found then.
  if (lowered.length !== text.length || small.length !== secret.length) return text.replaceAll(secret, REDACTED)
  let shown = ''
  let shownTo = 0
  for (let at = lowered.indexOf(small); at !== -1; at = lowered.indexOf(small, shownTo)) {
    shown += text.slice(shownTo, at) + REDACTED
    shownTo = at + secret.length
  }
  return shown + text.slice(shownTo)
}

/** Without what is left of secrets that were cut, as far as it goes on like one of them. */
function withoutBeginnings(text: string, secrets: readonly string[]): string {
  const lowered = text.toLowerCase()
  const isAligned = lowered.length === text.length
  const within = isAligned ? lowered : text
  /** Where they begin, and where the longest of them ends. */
  const ends = new Map<number, number>()
  for (const secret of secrets) {
    if (secret.length <= PREFIX_LENGTH) continue
    const whole = isAligned ? secret.toLowerCase() : secret
    const prefix = whole.slice(0, PREFIX_LENGTH)
    for (let at = within.indexOf(prefix); at !== -1; at = within.indexOf(prefix, at + 1)) {
      let end = at + PREFIX_LENGTH
      while (end < within.length && within[end] === whole[end - at]) end++
      ends.set(at, Math.max(end, ends.get(at) ?? 0))
    }
  }
  let shown = ''
  let shownTo = 0
  for (const [at, end] of [...ends].sort(([a], [b]) => a - b)) {
    if (at >= shownTo) shown += text.slice(shownTo, at) + REDACTED
    shownTo = Math.max(shownTo, end)
  }
  return shown + text.slice(shownTo)
}
