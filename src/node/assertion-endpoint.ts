import { type Fetch, transportFailure } from '../oauth/index.ts'
import { ConfigurationError, isEvertokenError, TransportError } from '../token/index.ts'
import { insecurityOf, parseUrl, readCapped, redactedUrl } from '../util/index.ts'

/** One request for an assertion. */
export interface AssertionRequest {
  readonly url: URL
  readonly headers: Headers
  readonly fetch: Fetch | undefined
  readonly maxBytes: number
  /** The member of a JSON answer. */
  readonly member: string
}

const LINK_LOCAL = /^169\.254\.\d{1,3}\.\d{1,3}$/
/** Metadata servers that are reached without TLS, as they are no further than the host. */
const METADATA_HOSTS: ReadonlySet<string> = new Set(['[fd00:ec2::254]', 'metadata.google.internal'])

/**
 * The URL that assertions come from, if it may be asked.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function assertionUrl(option: string, input: unknown): URL {
  const url = parseUrl(String(input))
  const problem = url === undefined ? 'an absolute URL' : insecurityOf(url)
  if (url !== undefined && (problem === undefined || isMetadataServer(url))) return url
  throw new ConfigurationError(`${option}: expected ${problem}, got ${url ? redactedUrl(url) : 'another text'}`, {
    code: 'option_invalid',
  })
}

function isMetadataServer({ protocol, hostname, username, password }: URL): boolean {
  if (protocol !== 'http:' || username !== '' || password !== '') return false
  return LINK_LOCAL.test(hostname) || METADATA_HOSTS.has(hostname)
}

/** Headers, checked without ever being shown: what is wrong with one may be its secret. */
export function assertionHeaders(option: string, input: Readonly<Record<string, string>>): Headers {
  try {
    return new Headers(input)
  } catch {
    throw new ConfigurationError(`${option}: expected headers that HTTP can carry, got others`, {
      code: 'option_invalid',
    })
  }
}

/**
 * Asks for an assertion and gives its text: the member of a JSON object, or the whole of any other answer.
 *
 * @throws TransportError when no answer comes, or one that says "not now" (`assertion_unavailable`); ConfigurationError with code
 * `assertion_refused` or `client_assertion_invalid`.
 */
export async function fetchAssertion(request: AssertionRequest, signal: AbortSignal): Promise<string> {
  const { url, member } = request
  return textIn(await exchange(request, signal), { endpoint: redactedUrl(url), member })
}

/** What is thrown when nothing has come in time. */
export function tooLate(deadlineMs: number): TransportError {
  return new TransportError(`assertionFromUrl: expected an assertion within ${deadlineMs} ms, got none`, {
    code: 'timeout',
    retryable: true,
    ambiguous: false,
  })
}

async function exchange({ url, headers, fetch, maxBytes }: AssertionRequest, signal: AbortSignal): Promise<Uint8Array> {
  const endpoint = redactedUrl(url)
  try {
    const response = await (fetch ?? globalThis.fetch)(url.href, { headers, signal, redirect: 'manual' })
    if (response.status !== 200) {
      response.body?.cancel().catch(() => {})
      throw refusal(endpoint, response)
    }
    const bytes = await readCapped(response, maxBytes, signal)
    if (bytes === undefined) throw invalid(endpoint, `at most ${maxBytes} bytes`, 'more')
    return bytes
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw isEvertokenError(error) ? error : transportFailure(error, endpoint)
  }
}

function refusal(endpoint: string, { status, type }: Response): Error {
  const isPassing = status === 408 || status === 429 || status >= 500
  if (isPassing) {
    return new TransportError(`expected an assertion from ${endpoint}, got status ${status}`, {
      code: 'assertion_unavailable',
      retryable: true,
    })
  }
  const isRedirect = type === 'opaqueredirect' || (status >= 300 && status < 400)
  const got = isRedirect ? `a redirect (${status})` : `status ${status}`
  return new ConfigurationError(`expected an assertion from ${endpoint}, got ${got}`, { code: 'assertion_refused' })
}

/** By its first character: metadata servers send JWTs as `text/html` and JSON as `text/plain`. */
function textIn(bytes: Uint8Array, { endpoint, member }: { endpoint: string; member: string }): string {
  const text = new TextDecoder().decode(bytes).trim()
  if (!text.startsWith('{')) return text
  const value = memberOf(text, member)
  if (typeof value === 'string') return value.trim()
  throw invalid(endpoint, `a JSON object with a string in "${member}"`, 'another answer')
}

function memberOf(json: string, member: string): unknown {
  try {
    const value: unknown = JSON.parse(json)
    const members: Readonly<Record<string, unknown>> = { ...Object(value) }
    return Object.hasOwn(members, member) ? members[member] : undefined
  } catch {
    // The cause is left out: it quotes the answer.
    return undefined
  }
}

function invalid(endpoint: string, expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`assertion from ${endpoint}: expected ${expected}, got ${came}`, {
    code: 'client_assertion_invalid',
  })
}
