import { memoryRecords, none, type RecordStore } from 'evertoken'
import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { describe, expect, it } from 'vitest'

const web = { tokenEndpoint: 'https://as.example/token', clientId: 'web', authentication: none() }

/** What creating something wrong throws, as text too: it names the option, and shows no value. */
function thrownBy(create: () => unknown): { readonly code: unknown; readonly message: string; readonly name: string } {
  try {
    create()
  } catch (error) {
    const { code, message, name } = error as { code: unknown; message: string; name: string }
    return { code, message, name }
  }
  throw new Error('expected an error, got none')
}

describe('bad input: createUserTokenManager', () => {
  it.for([
    { option: 'clients', value: undefined },
    { option: 'clients', value: [] },
    { option: 'clients', value: 'web' },
    { option: 'subjects', value: {} },
    { option: 'store', value: { get() {} } },
    { option: 'lock', value: {} },
    { option: 'transformClaims', value: {} },
    { option: 'clientAssertion', value: 'assertion' },
    { option: 'nonceStore', value: {} },
    { option: 'telemetry', value: {} },
    { option: 'fetch', value: 'https://as.example' },
    { option: 'lifetime', value: { renewBeforeMs: -1 } },
    { option: 'deadlineMs', value: 0 },
    { option: 'deadlineMs', value: '10000' },
    { option: 'replay', value: 'no' },
    { option: 'graceMs', value: Number.NaN },
    { option: 'maxSessions', value: 1.5 },
    { option: 'clock', value: {} },
  ])('refuses $option: $value', ({ option, value }) => {
    const { code, message, name } = thrownBy(() =>
      createUserTokenManager({ clients: { web }, [option]: value } as never),
    )
    expect({ name, code }).toEqual({ name: 'ConfigurationError', code: 'option_invalid' })
    expect(message).toContain(option)
  })

  it.for([undefined, null, 'options', 7])('refuses %j instead of options', (options) => {
    expect(thrownBy(() => createUserTokenManager(options as never)).name).toBe('ConfigurationError')
  })

  it('tells of an option that it does not know', () => {
    const { code, message } = thrownBy(() => createUserTokenManager({ clients: { web }, locks: () => {} } as never))
    expect(code).toBe('option_unknown')
    expect(message).toContain('locks')
  })

  it('names the clients that there are, and not what came where that is no name', () => {
    const users = createUserTokenManager({ clients: { web }, subjects: storedSessions(memoryRecords()) })
    for (const name of ['wbe', 'toString', '__proto__', undefined, {}]) {
      const { code, message } = thrownBy(() => users.forSubject(name as never, 'alice'))
      expect(code).toBe('client_unknown')
      expect(message).toContain('web')
    }
  })

  it('has no forSubject without subjects', () => {
    const users = createUserTokenManager({ clients: { web } })
    expect(thrownBy(() => users.forSubject('web', 'alice'))).toMatchObject({ code: 'option_invalid' })
  })

  it.for([undefined, null, 'session', {}, { id: 'x' }, { id: 'x', load() {}, save() {} }])(
    'refuses %j for a session, at once',
    (session) => {
      const users = createUserTokenManager({ clients: { web } })
      const { name, code } = thrownBy(() => users.forSession('web', session as never))
      expect({ name, code }).toEqual({ name: 'ConfigurationError', code: 'session_invalid' })
    },
  )
})

describe('bad input: storedSessions', () => {
  it.for([
    { what: 'no records', records: undefined },
    { what: 'a cache', records: { get() {}, set() {}, delete() {} } },
    { what: 'idleMs', options: { idleMs: 0 } },
    { what: 'absoluteMs', options: { absoluteMs: Number.POSITIVE_INFINITY } },
    { what: 'deadlineMs', options: { deadlineMs: 0.5 } },
    { what: 'clock', options: { clock: {} } },
    { what: 'another option', options: { ttl: 5 }, code: 'option_unknown' },
  ])('refuses $what', ({ records = memoryRecords(), options, code = 'option_invalid', what }) => {
    const given = (what === 'no records' ? undefined : records) as RecordStore
    expect(thrownBy(() => storedSessions(given, options as never))).toMatchObject({ name: 'ConfigurationError', code })
  })
})
