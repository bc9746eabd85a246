import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiRequest } from '../../src/kit/api.ts';
import { ValidationError } from '../../src/kit/errors.ts';
import { choiceFilter, condition, type Filter, numberFilters, textFilters, timeFilters } from '../../src/kit/filters.ts';

// None of these filters looks at the request.
const request = {} as ApiRequest;

/** The values that a filter's condition compares with. */
async function values(filters: Record<string, Filter>, name: string, ...given: string[]): Promise<unknown[]> {
  const filter = filters[name];
  assert.ok(filter, name);
  return (await condition(name, filter, given, request)).values;
}
const refused = async (filters: Record<string, Filter>, name: string, given: string, message: string) =>
  assert.rejects(
    values(filters, name, given),
    (error: unknown) => error instanceof ValidationError && (error.body as Record<string, string[]>)[name]?.[0] === message,
    given,
  );

const times = timeFilters('pulp_created', 'm.pulp_created');
const numbers = numberFilters('number', 'm.number', ['exact', 'range', 'in', 'isnull']);
const texts = textFilters('name', 'm.name', ['exact', 'in', 'contains', 'startswith']);

test('a time is taken as a date, as a date and time, in any zone', async () => {
  for (const time of [
    '2026-01-01',
    '2026-01-01T00:00',
    '2026-01-01 00:00:00',
    '2026-01-01T00:00:00.5Z',
    '2026-01-01T00:00:00+01:00',
  ])
    assert.deepEqual(await values(times, 'pulp_created__gte', time), [time]);
});

test('a "+" that was not escaped, and came as a blank, is a "+" again', async () => {
  assert.deepEqual(await values(times, 'pulp_created', '2026-01-01T00:00:00 01:00'), ['2026-01-01T00:00:00+01:00']);
  assert.deepEqual(await values(times, 'pulp_created', '2026-01-01 00:00:00 01:00'), ['2026-01-01 00:00:00+01:00']);
  assert.deepEqual(await values(times, 'pulp_created', '2026-01-01 10:00'), ['2026-01-01 10:00']);
});

test('a day that does not exist is refused before the database is asked', async () => {
  for (const time of ['2026-02-30', '2026-13-01', '0000-01-01', '2026-01-01T25:00', '2026-01-01T00:00:00+23:59', 'x'])
    await refused(times, 'pulp_created__lt', time, 'Enter a valid date/time.');
});

test('a range has two values', async () => {
  assert.deepEqual(await values(times, 'pulp_created__range', '2026-01-01, 2027-01-01'), ['2026-01-01', '2027-01-01']);
  assert.deepEqual(await values(numbers, 'number__range', '1,3'), ['1', '3']);
  for (const given of ['1', '1,2,3', ',']) await refused(numbers, 'number__range', given, 'Range query expects two values.');
});

test('numbers are numbers', async () => {
  assert.deepEqual(await values(numbers, 'number', ' -7 '), ['-7']);
  // Any number is one, also where no column holds it.
  for (const given of ['1.5', '1e3', '1'.repeat(30)]) assert.deepEqual(await values(numbers, 'number', given), [given]);
  for (const given of ['x', '1;2', '', '1e400', '1'.repeat(101)]) await refused(numbers, 'number', given, 'Enter a number.');
});

test('whether a value is null is asked in any spelling of a boolean', async () => {
  for (const given of ['true', 'False', '1', 't', 'yes']) assert.deepEqual(await values(numbers, 'number__isnull', given), []);
  await refused(numbers, 'number__isnull', 'x', 'Enter a valid boolean.');
});

test('a text is compared without the blanks around it, its signs being no pattern', async () => {
  assert.deepEqual(await values(texts, 'name', ' a b '), ['a b']);
  assert.deepEqual(await values(texts, 'name__in', ' a , b,,'), [['a', 'b']]);
  assert.deepEqual(await values(texts, 'name__contains', '50%_\\'), ['%50\\%\\_\\\\%']);
  assert.deepEqual(await values(texts, 'name__startswith', 'a*'), ['a*%']);
});

test('of a parameter that is given twice, the last one counts', async () => {
  assert.deepEqual(await values(texts, 'name', 'a', 'b'), ['b']);
});

test('a choice is one of the words; a repeated one may be several', async () => {
  const colours = {
    colour: choiceFilter('m.colour', ['red', 'green']),
    colours: choiceFilter('m.colour', ['red', 'green'], 'repeated'),
  };
  assert.deepEqual(await values(colours, 'colour', 'red'), [['red']]);
  assert.deepEqual(await values(colours, 'colours', 'red', 'green'), [['red', 'green']]);
  await refused(colours, 'colour', 'blue', 'Select a valid choice. blue is not one of the available choices.');
  await refused(colours, 'colours', 'red,green', 'Select a valid choice. red,green is not one of the available choices.');
});
