import { ConfigurationError } from '../token/index.ts'
import { describe, insecurityOf, parseUrl } from '../util/index.ts'

/** Parameters that the library sets itself; a caller who set one too would send it twice or change its meaning. */
const RESERVED: ReadonlySet<string> = new Set([
  'grant_type',
  'client_id',
  'client_secret',
  'client_assertion',
  'client_assertion_type',
  'scope',
  'resource',
  'refresh_token',
  'code',
  'code_verifier',
  'redirect_uri',
  'assertion',
  'device_code',
  'auth_req_id',
  'subject_token',
  'subject_token_type',
  'actor_token',
  'actor_token_type',
  'token',
  'token_type_hint',
])

/** RFC 6749 section 3.3: printable ASCII without space, quote and backslash, values separated by single spaces. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
const CONTROL = /[\u0000-\u001f\u007f]/

/** Refuses a scope that no server could read. An empty one means none. */
export function assertScope(subject: string, scope: unknown): asserts scope is string | undefined {
  if (scope === undefined || scope === '' || (typeof scope === 'string' && SCOPE.test(scope))) return
  throw invalid(`${subject}: expected scope`, 'values of RFC 6749 section 3.3, separated by single spaces', scope)
}

/** Refuses a resource that is not an absolute URI without fragment (RFC 8707 section 2). */
export function assertResource(
  subject: string,
  resource: unknown,
): asserts resource is string | readonly string[] | undefined {
  if (resource === undefined) return
  const values: readonly unknown[] = Array.isArray(resource) ? resource : [resource]
  const isValid = (value: unknown): boolean =>
    typeof value === 'string' && !value.includes('#') && !CONTROL.test(value) && parseUrl(value) !== undefined
  if (!values.every(isValid)) {
    throw invalid(`${subject}: expected resource`, 'absolute URIs without fragment (RFC 8707 section 2)', resource)
  }
}

/** Refuses reserved names, and values that are not strings. */
export function assertParameters(
  subject: string,
  parameters: unknown,
): asserts parameters is Readonly<Record<string, string>> | undefined {
  if (parameters === undefined) return
  if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) {
    throw invalid(`${subject}: expected parameters`, 'an object of strings', parameters)
  }
  for (const [name, value] of Object.entries(parameters)) {
    if (RESERVED.has(name)) {
      throw new ConfigurationError(`${subject}: parameter "${name}" is reserved`, { code: 'parameter_reserved' })
    }
    if (name === '' || CONTROL.test(name))
      throw invalid(`${subject}: expected parameters`, 'names without control characters', name)
    if (typeof value !== 'string') throw invalid(`${subject}: expected parameters.${name}`, 'a string', value)
  }
}

/** Refuses a URL that secrets must not be sent to, and gives the parsed one. */
export function assertEndpoint(subject: string, option: string, value: unknown): URL {
  const url = typeof value === 'string' ? parseUrl(value) : undefined
  if (url === undefined) throw invalid(`${subject}: expected ${option}`, 'an absolute URL', value)
  const insecurity = url.hash !== '' ? 'a URL without fragment' : insecurityOf(url)
  if (insecurity === undefined) return url
  throw new ConfigurationError(`${subject}: expected ${option} to be ${insecurity}`, { code: 'option_invalid' })
}

function invalid(option: string, expected: string, came: unknown): ConfigurationError {
  const shown = typeof came === 'string' && came !== '' ? 'another text' : describe(came)
  return new ConfigurationError(`${option} to be ${expected}, got ${shown}`, {
    code: 'option_invalid',
  })
}
