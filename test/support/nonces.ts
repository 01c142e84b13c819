import { createNonces, type NonceKey, type NonceStore } from 'evertoken/dpop'
import { createRecorder, type Recorder } from './fixtures.ts'
import { createTestClock, type TestClock } from './test-clock.ts'

/** Nonces with a clock that is moved by hand. */
export interface TestNonces {
  readonly nonces: ReturnType<typeof createNonces>
  readonly clock: TestClock
  readonly recorder: Recorder
}

export function createTestNonces(store?: NonceStore, maxEntries?: number): TestNonces {
  const clock = createTestClock()
  const recorder = createRecorder()
  return { nonces: createNonces({ store, clock, telemetry: recorder, maxEntries }), clock, recorder }
}

/** The nonces of an API, as one key sees them. */
export function nonceKey(members: Partial<NonceKey> = {}): NonceKey {
  return { role: 'resource_server', origin: 'https://api.example', jkt: 'thumbprint', ...members }
}
