import type { NamedKeys } from '../../store/index.ts'
import type { CookieFault } from '../../telemetry/index.ts'
import { ConfigurationError } from '../../token/index.ts'
import type { Clock } from '../../util/index.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import { tokenSetFrom, tokenSetText } from '../token-set/token-set-text.ts'
import { cookiesNamed } from './cookie-header.ts'
import { headerOf, open, seal, sealedLength } from './cookie-jwe.ts'
import type { CookieRingKey } from './cookie-keys.ts'
import {
  type CookieFrame,
  chunkName,
  linesOf,
  MAX_CHUNKS,
  MAX_TOTAL,
  removalOf,
  type Spread,
  spread,
} from './cookie-lines.ts'

/** What all sessions of one kind of cookie have in common. */
export interface CookieSettings {
  readonly frame: CookieFrame
  readonly ring: NamedKeys<CookieRingKey>
  readonly idleMs: number
  readonly absoluteMs: number
  readonly clock: Clock
}

/** What a cookie holds. */
export interface CookieContent {
  readonly id: string
  readonly set: TokenSet
  /** When it was written, in milliseconds since the epoch. */
  readonly writtenAt: number
}

/** What a request brought. */
export interface Brought {
  readonly content?: CookieContent | undefined
  readonly fault?: CookieFault | undefined
  /** Names of cookies that the browser has. */
  readonly names: readonly string[]
}

/** Node takes 16 KiB of header lines, others up to 64. */
const MAX_HEADER = 65_536
const SKEW_MS = 5 * 60 * 1000
/** Browsers keep no cookie for longer (RFC 6265bis section 5.5). */
const MAX_AGE_SECONDS = 400 * 24 * 60 * 60

/** Until when a session lasts, by what was authenticated and never by what the browser did. */
export function endOf({ set, writtenAt }: CookieContent, { idleMs, absoluteMs }: CookieSettings): number {
  return Math.min(writtenAt + idleMs, set.startedAt + absoluteMs, set.sessionExpiresAt ?? Number.POSITIVE_INFINITY)
}

/** Reads the cookies of a request; whatever is wrong with them, nothing is thrown. */
export async function readCookies(settings: CookieSettings, header: string): Promise<Brought> {
  if (header.length > MAX_HEADER) return { fault: 'too_long', names: [] }
  const known = allNames(settings.frame)
  const { values, isDoubled } = cookiesNamed(new Set(known), header)
  const names = [...values.keys()]
  if (names.length === 0) return { names }
  if (isDoubled) return { fault: 'doubled', names }
  const content = await contentOf(settings, values)
  return typeof content === 'string' ? { fault: content, names } : { content, names }
}

async function contentOf(
  settings: CookieSettings,
  values: ReadonlyMap<string, string>,
): Promise<CookieContent | CookieFault> {
  const { frame, ring, clock } = settings
  const first = values.get(frame.name)
  if (first === undefined) return 'incomplete'
  const header = headerOf(first)
  if (typeof header === 'string') return header
  // Cookies beyond that number are left over from a larger set, and no part of it.
  const parts = Array.from({ length: header.parts }, (_, at) => values.get(chunkName(frame, at)))
  if (!parts.every((part) => part !== undefined)) return 'incomplete'
  const jwe = parts.join('')
  if (jwe.length > MAX_TOTAL) return 'too_long'
  const opened = await open(ring, header, { jwe, name: frame.name })
  if (typeof opened === 'string') return opened
  const dot = opened.text.indexOf('.')
  const writtenAt = Number(opened.text.slice(0, Math.max(dot, 0)))
  const set = tokenSetFrom(opened.text.slice(dot + 1))
  if (set === undefined || !Number.isSafeInteger(writtenAt)) return 'malformed'
  const now = clock.now()
  // From a clock that was ahead: its end is as far in the future.
  if (writtenAt > now + SKEW_MS || set.startedAt > now + SKEW_MS) return 'not_yet'
  return { id: header.sid, set, writtenAt }
}

/**
 * The lines that bring a browser up to date.
 *
 * @throws ConfigurationError with code `session_too_large`.
 */
export async function writeCookies(
  settings: CookieSettings,
  content: CookieContent,
  has: readonly string[],
): Promise<readonly string[]> {
  const { frame, ring, clock } = settings
  const text = `${content.writtenAt}.${tokenSetText(content.set)}`
  const seconds = Math.ceil((endOf(content, settings) - clock.now()) / 1000)
  const maxAge = Math.min(Math.max(seconds, 0), MAX_AGE_SECONDS)
  const header = { kid: ring.first.id, sid: content.id, parts: 1 }
  const plan = spread(frame, sealedLength(header, text), maxAge)
  assertRoom(plan)
  const jwe = await seal(ring.first, { ...header, parts: plan.lengths.length }, { text, name: frame.name })
  const lines = linesOf(frame, jwe, { spread: plan, maxAge })
  const written = new Set(plan.lengths.map((_, at) => chunkName(frame, at)))
  return [...lines, ...has.filter((name) => !written.has(name)).map((name) => removalOf(frame, name))]
}

/** The lines that remove all that a session can have left in a browser. */
export function removeCookies({ frame }: CookieSettings): readonly string[] {
  return allNames(frame).map((name) => removalOf(frame, name))
}

function allNames(frame: CookieFrame): readonly string[] {
  return Array.from({ length: MAX_CHUNKS }, (_, at) => chunkName(frame, at))
}

/** The number of cookies has one digit, so that it does not change the length of what it is in. */
function assertRoom({ total }: Spread): void {
  if (total <= MAX_TOTAL) return
  const message = `cookieSessions: expected a session of at most ${MAX_TOTAL} bytes of cookies, got ${total}`
  throw new ConfigurationError(message, { code: 'session_too_large' })
}
