import { TokenResponseError } from '../token/index.ts'
import type { BackChannelAnswer } from './back-channel.ts'
import { parseJsonObject } from './json-object.ts'

const JSON_TYPE = /^application\/(?:[\w!#$&^.-]+\+)?json\s*(?:;|$)/i

/** The JSON object of an answer, or what is wrong with it. */
export function readJsonAnswer({ headers, bytes }: BackChannelAnswer): Readonly<Record<string, unknown>> | string {
  const type = headers.get('content-type')
  if (type === null) return bytes.length === 0 ? 'an empty body' : 'a body without content type'
  if (!JSON_TYPE.test(type)) return 'another content type than JSON'
  return parseJsonObject(bytes)
}

/**
 * The JSON object of an answer.
 *
 * @throws TokenResponseError with code `response_not_json`.
 */
export function requireJsonAnswer(answer: BackChannelAnswer, subject: string): Readonly<Record<string, unknown>> {
  const json = readJsonAnswer(answer)
  if (typeof json !== 'string') return json
  const { status } = answer
  throw new TokenResponseError(`${subject}: expected a JSON object, got ${json} (status ${status})`, {
    code: 'response_not_json',
    status,
    retryable: status >= 500,
  })
}
