import { checkLifetime } from '../client/index.ts'
import { assertCount, assertMethods, assertOptions, ConfigurationError, optionInvalid } from '../token/index.ts'
import { describe } from '../util/index.ts'
import type { SessionTokens } from './session-tokens.ts'

const SUBJECT = 'createUserTokenManager'
const OPTIONS = [
  'clients',
  'subjects',
  'store',
  'lock',
  'transformClaims',
  'customizeRequest',
  'clientAssertion',
  'nonceStore',
  'telemetry',
  'fetch',
  'lifetime',
  'deadlineMs',
  'closeMs',
  'replay',
  'graceMs',
  'maxSessions',
  'clock',
]
const FUNCTIONS = ['lock', 'transformClaims', 'customizeRequest', 'clientAssertion', 'fetch'] as const
const METHODS = {
  subjects: ['ofSubject'],
  store: ['get', 'set', 'delete'],
  nonceStore: ['get', 'set'],
  telemetry: ['run', 'note'],
  clock: ['now', 'wallTime', 'setTimer'],
} as const

/**
 * Checks the options of a manager, its clients apart.
 *
 * @throws ConfigurationError that names the option.
 */
export function checkUserManagerOptions(options: unknown): void {
  assertOptions(SUBJECT, options, OPTIONS)
  const { clients, lifetime, replay = true } = options
  if (typeof clients !== 'object' || clients === null || Array.isArray(clients)) {
    throw optionInvalid(SUBJECT, `clients to be an object, got ${describe(clients)}`)
  }
  for (const option of FUNCTIONS) {
    const value = options[option]
    if (value !== undefined && typeof value !== 'function') {
      throw optionInvalid(SUBJECT, `${option} to be a function, got ${describe(value)}`)
    }
  }
  for (const [option, methods] of Object.entries(METHODS)) {
    if (options[option] !== undefined) assertMethods(SUBJECT, { option, value: options[option] }, methods)
  }
  checkLifetime(SUBJECT, lifetime)
  if (typeof replay !== 'boolean') throw optionInvalid(SUBJECT, `replay to be a boolean, got ${describe(replay)}`)
  for (const option of ['deadlineMs', 'closeMs', 'graceMs', 'maxSessions'])
    assertCount(SUBJECT, option, options[option])
}

const SESSION_METHODS = ['load', 'save', 'clear'] as const

/**
 * Checks that something is a session.
 *
 * @throws ConfigurationError with code `session_invalid`.
 */
export function assertSession(clientName: string, session: unknown): asserts session is SessionTokens {
  const members = Object(session) as Record<string, unknown>
  const missing = SESSION_METHODS.find((method) => typeof members[method] !== 'function')
  if (missing === undefined) return
  const message = `client "${clientName}": expected a session with ${SESSION_METHODS.join(', ')}, got ${describe(session)} without ${missing}`
  throw new ConfigurationError(message, { code: 'session_invalid' })
}

/**
 * Checks that names are texts that name somebody.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function assertTexts(subject: string, names: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(names)) {
    if (typeof value === 'string' && value !== '') continue
    throw optionInvalid(subject, `${name} to be a text, got ${describe(value)}`)
  }
}
