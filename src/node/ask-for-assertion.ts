import { ConfigurationError, isEvertokenError, TransportError } from '../token/index.ts'
import { type Clock, readCapped, withDeadline } from '../util/index.ts'

/** One question to the platform. */
export interface AssertionQuestion {
  /** Whom it goes to, for messages. */
  readonly subject: string
  readonly headers: Readonly<Record<string, string>>
  readonly member: string
  readonly deadlineMs: number
  readonly clock: Clock
  readonly fetch: typeof globalThis.fetch | undefined
}

const MAX_BYTES = 64 * 1024

/**
 * Gets an assertion from a URL, out of JSON or as it is. Redirects are not followed: the headers are secrets of the platform.
 *
 * @throws TransportError with code `assertion_unavailable` when no answer comes or the server fails; ConfigurationError with code
 * `assertion_source_invalid` when it refuses or answers something else.
 */
export async function askForAssertion(url: URL, question: AssertionQuestion): Promise<string> {
  const { subject, deadlineMs: ms, clock } = question
  const error = (): Error => unavailable(subject, `an answer within ${ms} ms`, 'none')
  try {
    return await withDeadline((signal) => ask(url, question, signal), { clock, ms, error })
  } catch (cause) {
    if (isEvertokenError(cause)) throw cause
    // What `fetch` says may quote a header that it refuses.
    throw unavailable(subject, 'an answer', 'none')
  }
}

async function ask(
  url: URL,
  { subject, headers, member, fetch }: AssertionQuestion,
  signal: AbortSignal,
): Promise<string> {
  const response = await (fetch ?? globalThis.fetch)(url, { headers: { ...headers }, redirect: 'manual', signal })
  const bytes = await readCapped(response, MAX_BYTES, signal)
  const { status } = response
  if (status >= 500 || status === 429) throw unavailable(subject, 'status 200', String(status))
  if (status !== 200) throw invalid(subject, 'status 200', String(status))
  if (bytes === undefined) throw invalid(subject, `at most ${MAX_BYTES} bytes`, 'more')
  const text = new TextDecoder().decode(bytes).trim()
  const value = text.startsWith('{') ? memberOf(text, member) : text
  if (typeof value === 'string' && value !== '') return value
  throw invalid(subject, text.startsWith('{') ? `a text in "${member}"` : 'an assertion', 'none')
}

function memberOf(text: string, member: string): unknown {
  try {
    const json: unknown = JSON.parse(text)
    return Object.hasOwn(Object(json), member) ? Object(json)[member] : undefined
  } catch {
    return undefined
  }
}

function unavailable(subject: string, expected: string, came: string): TransportError {
  return new TransportError(`${subject}: expected ${expected}, got ${came}`, {
    code: 'assertion_unavailable',
    retryable: true,
  })
}

function invalid(subject: string, expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`${subject}: expected ${expected}, got ${came}`, { code: 'assertion_source_invalid' })
}
