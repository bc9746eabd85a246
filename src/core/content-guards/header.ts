import type { Field } from '../../kit/define-resource.ts';
import { ValidationError } from '../../kit/errors.ts';
import { text } from '../../kit/wire.ts';
import { defineContentGuard } from './define-content-guard.ts';
import { parseJsonPath } from './json-path.ts';

/** RFC 9110, 5.6.2: a name of any other form is in no request, and the guard would let nobody pass. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** The request header that a guard looks at. */
export const headerName: Field = {
  wire: text(),
  required: true,
  column: 'd.header_name',
  description: 'Name of the header that the guard looks at.',
  resolve: (value) => {
    if (!HEADER_NAME.test(String(value))) throw new ValidationError({ header_name: ['Not a valid header name.'] });
    return { header_name: value };
  },
};

/** Lets those pass who send a header with a value that only they know, in base64. */
export const headerGuard = defineContentGuard({
  endpoint: 'header',
  model: 'HeaderContentGuard',
  title: ['header content guard', 'header content guards'],
  description: 'Lets requests pass that have a header with the right value.',
  fields: {
    header_name: headerName,
    header_value: {
      wire: text(),
      required: true,
      column: 'd.header_value',
      description: 'The value that lets a request pass; the header carries it in base64.',
    },
    jq_filter: {
      wire: text({ nullable: true }),
      column: 'd.jq_filter',
      description:
        'Where the value stands in the header, which is JSON in base64 then: a path as jq has it, such as `.identity.org_id`.',
      resolve: (value) => {
        if (value !== null && !parseJsonPath(String(value))) {
          throw new ValidationError({ jq_filter: ['Only paths are supported, such as `.a.b[0]` or `.["a b"]`.'] });
        }
        return { jq_filter: value };
      },
    },
  },
  detail: { table: 'header_content_guard', columns: ['header_name', 'header_value', 'jq_filter'] },
  hrefParameter: 'header_content_guard_href',
});
