import { readUnverifiedJwt } from '../keys/index.ts'
import { JWT_BEARER } from '../oauth/index.ts'
import { type ClientAssertion, ConfigurationError } from '../token/index.ts'
import { type Awaitable, type Clock, insecurityOf, parseUrl, systemClock, waitFor } from '../util/index.ts'
import { askForAssertion } from './ask-for-assertion.ts'
import { type AssertionMoment, assertAlive, type PlatformAssertion } from './assertion-from-file.ts'

/** How a platform is asked for an assertion. */
export interface AssertionFromUrlOptions {
  /** What the platform wants to see, such as `Metadata-Flavor: Google`. A function is called for every request. */
  readonly headers?: HeaderValues | (() => Awaitable<HeaderValues>) | undefined
  /** The member of a JSON answer that holds the assertion. Default `value`. An answer that is no JSON is the assertion itself. */
  readonly member?: string | undefined
  /** `client_assertion_type`. Default: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`. */
  readonly type?: string | undefined
  /** How long one request may take, in milliseconds. Default 5000. */
  readonly deadlineMs?: number | undefined
  /** Sends the request. Default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined
}

/** HTTP headers by name. */
export type HeaderValues = Readonly<Record<string, string>>

const DEADLINE_MS = 5000
/** An assertion is kept until a fifth of its life is left, 30 s at the most. */
const LAST_SHARE = 1 / 5
const LAST_MS = 30_000

interface Held {
  readonly value: string
  readonly until: number
}

/**
 * An assertion that the platform gives for the asking: GitHub Actions, a metadata server, an agent. One that has a `jti` is meant for one use
 * and asked for anew each time; another is kept until shortly before it expires. Requests that overlap share one of those.
 *
 * The function throws ConfigurationError with code `assertion_source_invalid` or `assertion_expired`, TransportError with code
 * `assertion_unavailable`, none of which shows a header or the answer.
 *
 * @throws ConfigurationError with code `option_invalid` for a URL that is neither https nor one of this machine or its metadata server.
 */
export function assertionFromUrl(url: string | URL, options: AssertionFromUrlOptions = {}): PlatformAssertion {
  const { type = JWT_BEARER, member = 'value', deadlineMs = DEADLINE_MS, headers = {}, fetch } = options
  const target = checkedUrl(String(url))
  const subject = `assertion from ${target.host}`
  let held: Held | undefined

  async function ask(clock: Clock): Promise<Held> {
    const sent = typeof headers === 'function' ? await headers() : headers
    const value = await askForAssertion(target, { subject, headers: sent, member, deadlineMs, clock, fetch })
    assertAlive(value, { subject: `${subject}: expected`, clock })
    return { value, until: keptUntil(value, clock.wallTime()) }
  }

  return async ({ clock = systemClock, signal }: AssertionMoment = {}): Promise<ClientAssertion> => {
    if (held !== undefined && clock.wallTime() < held.until) return { type, value: held.value }
    const asked = await waitFor(ask(clock), signal)
    held = asked.until === 0 ? undefined : asked
    return { type, value: asked.value }
  }
}

/** Until when an assertion may be used again; 0 for one use. */
function keptUntil(value: string, now: number): number {
  const { jti, exp } = readUnverifiedJwt(value)?.claims ?? {}
  if (jti !== undefined || typeof exp !== 'number') return 0
  const lifetimeMs = exp * 1000 - now
  return exp * 1000 - Math.min(LAST_MS, lifetimeMs * LAST_SHARE)
}

/** Metadata servers of clouds, which are reached over the link and speak plain http. */
const METADATA_HOSTS: ReadonlySet<string> = new Set(['metadata.google.internal', '[fd00:ec2::254]', '100.100.100.200'])
const LINK_LOCAL = /^169\.254\.\d{1,3}\.\d{1,3}$/

function checkedUrl(text: string): URL {
  const url = parseUrl(text)
  const insecurity = url === undefined ? 'a URL' : insecurityOf(url)
  const isMetadata = url?.protocol === 'http:' && (METADATA_HOSTS.has(url.hostname) || LINK_LOCAL.test(url.hostname))
  if (url !== undefined && (insecurity === undefined || (isMetadata && url.username === '' && url.password === ''))) {
    return url
  }
  throw new ConfigurationError(`assertionFromUrl: expected url to be ${insecurity}, got another`, {
    code: 'option_invalid',
  })
}
