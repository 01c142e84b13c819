import { harmless, noTelemetry, type Telemetry } from '../../telemetry/index.ts'
import { assertCount, assertMethods, assertOptions, ConfigurationError, optionInvalid } from '../../token/index.ts'
import { type Clock, describe, isLoopback, parseUrl, systemClock } from '../../util/index.ts'
import { type CookieSettings, readCookies } from './cookie-codec.ts'
import { type CookieKey, createCookieRing } from './cookie-keys.ts'
import { type CarriedSession, CookieSession } from './cookie-session.ts'

/** How sessions in cookies are encrypted, named and bounded. */
export interface CookieSessionsOptions {
  /** The first one encrypts, all of them decrypt. */
  readonly keys: readonly CookieKey[]
  /** Of the cookie, without prefix: 1 to 64 letters, digits, `-` and `_`. Default `session`, which is `__Host-session` in the browser. */
  readonly name?: string | undefined
  /** A session that was not used for so long is over, in milliseconds. Default 24 hours. */
  readonly idleMs?: number | undefined
  /** A session is over so long after the sign-in, whatever happens, in milliseconds. Default 30 days. */
  readonly absoluteMs?: number | undefined
  /** For development: cookies that a browser takes over http from this machine, without prefix and without `Secure`. Default false. */
  readonly loopbackHttp?: boolean | undefined
  /** Told of cookies that count as missing. */
  readonly telemetry?: Telemetry | undefined
  readonly clock?: Clock | undefined
}

/** Sessions that browsers carry. */
export interface CookieSessions {
  /**
   * The session that a request brings, given the request or its `Cookie` header; a new one where it brings none that counts.
   *
   * @throws ConfigurationError with code `option_invalid` for what is neither, and with `cookie_insecure` for a request to another machine where
   * `loopbackHttp` is set.
   */
  fromRequest(request: Request | string | null | undefined): Promise<CarriedSession>
}

const SUBJECT = 'cookieSessions'
const OPTIONS = ['keys', 'name', 'idleMs', 'absoluteMs', 'loopbackHttp', 'telemetry', 'clock']
const NAME = /^[\w-]{1,64}$/
const DAY_MS = 24 * 60 * 60 * 1000

/**
 * Keeps the tokens of a user in cookies of the user's browser, encrypted (RFC 7516, `dir` with `A256GCM`) with a key for each session. The server keeps nothing: a
 * cookie that somebody has copied is good until its session is over, whether the user signs out or not.
 *
 * @throws ConfigurationError with code `encryption_key_invalid`, `option_invalid` or `option_unknown`.
 */
export function cookieSessions(options: CookieSessionsOptions): CookieSessions {
  checkOptions(options)
  const { keys, name = 'session', idleMs = DAY_MS, absoluteMs = 30 * DAY_MS, loopbackHttp = false } = options
  const { clock = systemClock } = options
  const telemetry = harmless(options.telemetry ?? noTelemetry)
  // Browsers take the prefix only from https, without Domain, for the whole origin: no other host can set such a cookie.
  const frame = { name: loopbackHttp ? name : `__Host-${name}`, isSecure: !loopbackHttp }
  const settings: CookieSettings = { frame, ring: createCookieRing(keys), idleMs, absoluteMs, clock }
  return {
    async fromRequest(request) {
      const { content, fault, names } = await readCookies(settings, headerOf(request, loopbackHttp))
      if (fault !== undefined) telemetry.note({ name: 'cookie_ignored', reason: fault })
      return new CookieSession(settings, content, names)
    },
  }
}

function headerOf(request: unknown, isForLoopback: boolean): string {
  if (request === undefined || request === null) return ''
  if (typeof request === 'string') return request
  const { headers, url } = Object(request) as { readonly headers?: Partial<Headers>; readonly url?: unknown }
  if (typeof headers?.get !== 'function') {
    throw optionInvalid(SUBJECT, `a Request or a Cookie header, got ${describe(request)}`)
  }
  const target = parseUrl(String(url))
  if (isForLoopback && target !== undefined && !isLoopback(target)) {
    throw new ConfigurationError(`${SUBJECT}: expected a request to this machine with loopbackHttp, got another one`, {
      code: 'cookie_insecure',
    })
  }
  return headers.get('cookie') ?? ''
}

function checkOptions(options: unknown): void {
  assertOptions(SUBJECT, options, OPTIONS)
  const { name = 'session', loopbackHttp = false, telemetry, clock } = options
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw optionInvalid(SUBJECT, `name to be 1 to 64 letters, digits, "-" or "_", got ${describe(name)}`)
  }
  if (typeof loopbackHttp !== 'boolean') {
    throw optionInvalid(SUBJECT, `loopbackHttp to be a boolean, got ${describe(loopbackHttp)}`)
  }
  for (const option of ['idleMs', 'absoluteMs']) assertCount(SUBJECT, option, options[option])
  if (telemetry !== undefined) assertMethods(SUBJECT, { option: 'telemetry', value: telemetry }, ['note'])
  if (clock !== undefined) assertMethods(SUBJECT, { option: 'clock', value: clock }, ['now'])
}
