-- Without the search.

drop function public.search_tickets(text[]);
