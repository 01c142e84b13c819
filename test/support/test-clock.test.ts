import { expect, test } from 'vitest'
import { createTestClock } from './test-clock.ts'

test('timers run in order, each at its time, and those that they start too', async () => {
  const clock = createTestClock(1000)
  const ran: string[] = []
  const note = (name: string) => ran.push(`${name} at ${clock.now()}`)
  clock.setTimer(() => note('late'), 30)
  clock.setTimer(() => {
    note('early')
    clock.setTimer(() => note('inner'), 5)
  }, 10)
  clock.setTimer(() => note('never'), 41)
  await clock.advance(40)
  expect(ran).toEqual(['early at 1010', 'inner at 1015', 'late at 1030'])
  expect([clock.now(), clock.wallTime(), clock.pending]).toEqual([1040, 1040, 1])
})

test('a timer that was called off does not run, though it falls due at the same instant', async () => {
  const clock = createTestClock()
  let ran = 0
  const callOff: (() => void)[] = []
  const timer = (): void => {
    ran++
    for (const each of callOff) each()
  }
  callOff.push(clock.setTimer(timer, 5), clock.setTimer(timer, 5))
  await clock.advance(5)
  expect([ran, clock.pending]).toEqual([1, 0])
})

test('what a timer starts has settled when time stands still again', async () => {
  const clock = createTestClock()
  const steps: number[] = []
  clock.setTimer(async () => {
    for (let step = 0; step < 10; step++) {
      await undefined
      steps.push(step)
    }
  }, 1)
  await clock.advance(1)
  expect(steps).toHaveLength(10)
})

test('a leap forward is followed and wakes nobody; one back leaves the lifetimes alone', async () => {
  const clock = createTestClock(1000)
  let ranAt = 0
  clock.setTimer(() => {
    ranAt = clock.now()
  }, 10)
  clock.leap(3_600_000)
  expect([clock.now(), clock.wallTime(), clock.pending]).toEqual([3_601_000, 3_601_000, 1])
  clock.leap(-600)
  expect([clock.now(), clock.wallTime()]).toEqual([3_601_000, 3_600_400])
  await clock.advance(10)
  expect([ranAt, clock.wallTime()]).toEqual([3_601_010, 3_600_410])
})

test('a test waits for timers that take their time to be set', async () => {
  const clock = createTestClock()
  const set = async (): Promise<() => void> => {
    await crypto.subtle.digest('SHA-256', new Uint8Array())
    return clock.setTimer(() => {}, 1)
  }
  const two = clock.untilPending(2)
  const cancel = set()
  await clock.untilPending()
  expect(clock.pending).toBe(1)
  await set()
  await two
  ;(await cancel)()
  expect(clock.pending).toBe(1)
})
