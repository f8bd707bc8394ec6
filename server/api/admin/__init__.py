"""What operators change over HTTP; the scope `admin` is asked for where there are keys."""
