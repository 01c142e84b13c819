import { checkLifetime } from '../client/index.ts'
import { assertCount, assertMethods, assertOptions, optionInvalid } from '../token/index.ts'
import { describe } from '../util/index.ts'

const SUBJECT = 'createUserTokenManager'
const OPTIONS = [
  'clients',
  'subjects',
  'store',
  'lock',
  'transformClaims',
  'clientAssertion',
  'nonceStore',
  'telemetry',
  'fetch',
  'lifetime',
  'deadlineMs',
  'graceMs',
  'maxSessions',
  'clock',
]
const FUNCTIONS = ['lock', 'transformClaims', 'clientAssertion', 'fetch'] as const
const METHODS = { subjects: ['ofSubject'], store: ['get', 'set', 'delete'], nonceStore: ['get', 'set'] } as const

/**
 * Checks the options of a manager, its clients apart.
 *
 * @throws ConfigurationError that names the option.
 */
export function checkUserManagerOptions(options: unknown): void {
  assertOptions(SUBJECT, options, OPTIONS)
  const { clients, lifetime } = options
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
  for (const option of ['deadlineMs', 'graceMs', 'maxSessions']) assertCount(SUBJECT, option, options[option])
}
